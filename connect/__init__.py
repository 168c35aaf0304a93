"""The outside world: the client for other services, contract files, and the intake over HTTP."""
