"""Patches of kafka-python 3.0."""
