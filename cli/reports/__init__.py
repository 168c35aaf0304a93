"""`sla report`."""
