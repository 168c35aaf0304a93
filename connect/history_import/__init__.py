"""History from files of other systems, status pages and ticket systems, as events to load."""
