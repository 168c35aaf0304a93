"""Reads the topics into the read model: one thread, offsets in the same transaction as the rows."""
