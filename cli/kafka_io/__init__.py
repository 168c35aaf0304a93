"""How commands read and write Kafka."""
