"""The product under fault on a real broker: `python -m tests.faults`, or `make chaos`."""
