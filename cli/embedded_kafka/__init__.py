"""A real Kafka broker from pip alone."""
