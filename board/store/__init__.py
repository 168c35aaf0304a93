"""The read model: its tables, their migrations, and the engine."""
