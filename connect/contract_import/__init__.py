"""Contract terms from files: reading, comparing with the topic, publishing the difference."""
