"""`sla demo`."""
