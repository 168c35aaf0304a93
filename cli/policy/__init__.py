"""`sla policy`: checks, renders and compares policy files."""
