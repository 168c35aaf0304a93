"""Webhook formats: one module each."""
