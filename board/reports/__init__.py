"""The content and the formats of reports, which `sla report` and the board share."""
