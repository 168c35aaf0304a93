"""The sla command line."""
