"""Event streams: codec, topics, settings and the exactly-once runtime; the pure core lives in streams.sla."""
