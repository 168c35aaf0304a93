"""Identity providers that are slow to start: part of `make chaos`, not of `make test`."""
