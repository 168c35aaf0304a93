"""Patches of aiokafka 0.14."""
