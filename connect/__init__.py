"""The outside world: client SDK for other services."""
