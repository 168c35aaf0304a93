"""`sla incidents`: look at incidents and act on them."""
