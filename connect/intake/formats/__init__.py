"""Formats of requests, one module each with authentication and translation; `registry.py` lists them."""
