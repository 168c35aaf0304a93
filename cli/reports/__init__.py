"""`sla report`: availability, breaches and credits by tenant and month."""
