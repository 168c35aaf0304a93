"""Alerts to people: routing, pages, payloads (all pure), and lanes that deliver them at least once."""
