"""Routing files: which alert goes to which destination."""
