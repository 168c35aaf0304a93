"""`sla demo`: the whole product on this machine, with recorded and live incidents."""
