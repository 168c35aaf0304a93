"""Serialization: Avro, CloudEvents headers and the JSON form of events."""
