"""Commands over recorded history: simulate, verify, what-if."""
