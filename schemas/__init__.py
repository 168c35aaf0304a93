"""Avro records and published JSON Schemas; imports nothing of ours."""
