"""Commands that publish and show events."""
