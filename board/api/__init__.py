"""The JSON API of the board, /api/v1."""
