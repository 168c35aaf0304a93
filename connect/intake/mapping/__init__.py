"""Mapping files: from a payload's fields to incidents."""
