"""Avro records and published JSON Schemas; depends on nothing."""
