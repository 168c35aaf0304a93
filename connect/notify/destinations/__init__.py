"""Notification destinations: what a message becomes, and how it is sent."""
