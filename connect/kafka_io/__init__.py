"""Reads and writes topics for commands and for actions: all partitions, without a consumer group."""
