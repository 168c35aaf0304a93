"""`sla policy`."""
