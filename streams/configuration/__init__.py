"""Reads settings from environment variables: names, values, secrets in files, and messages about mistakes in them."""
