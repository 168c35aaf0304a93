"""Schema registries that speak Confluent's HTTP interface."""
