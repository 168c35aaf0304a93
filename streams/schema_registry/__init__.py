"""Schema registries with Confluent's HTTP interface."""
