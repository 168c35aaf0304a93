"""The HTTP intake: webhooks and REST calls in, events acknowledged by Kafka out."""
