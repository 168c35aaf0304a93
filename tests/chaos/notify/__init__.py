"""Several notifiers, destinations and a Kafka in virtual time, from a seed: `python -m tests.chaos.notify`."""
