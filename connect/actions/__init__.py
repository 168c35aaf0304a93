"""What a person can do: the actions of board, API and command line (no HTTP, no HTML, no terminal)."""
