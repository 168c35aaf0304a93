"""Connections to other systems: the client for services, contract files, the HTTP intake and the notifier."""
