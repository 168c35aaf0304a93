"""Monitors that only send heartbeats: a silence opens an incident, the next heartbeat resolves it."""
