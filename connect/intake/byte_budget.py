"""A bound on bytes held in memory at once."""

from __future__ import annotations


class ByteBudget:
    """Counts reserved bytes against a limit."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.reserved = 0

    def reserve(self, size: int) -> bool:
        """Reserve `size` bytes. False when they exceed the limit; nothing is reserved then."""
        if self.reserved + size > self.limit:
            return False
        self.reserved += size
        return True

    def release(self, size: int) -> None:
        """Release bytes that were reserved."""
        self.reserved -= size
