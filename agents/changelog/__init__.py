"""Changelog rows of the agents, to Avro and back."""
