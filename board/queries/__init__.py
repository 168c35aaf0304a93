"""Typed reads of the read model: functions over a connection that return frozen dataclasses."""
