"""Event streams: serialization, topics, settings, the exactly-once runtime, and the pure core in `streams.sla`."""
