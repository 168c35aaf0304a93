"""Recorded history run through the pure core: simulate, verify, what-if."""
