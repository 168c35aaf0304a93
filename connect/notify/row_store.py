"""Where a destination writes its rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from connect.notify.page_store_rows import StateRow


class Store(Protocol):
    """Persists rows."""

    async def write(self, partition: int, rows: Iterable[StateRow]) -> None:
        """Returns when all replicas have the rows. Rows are stored in the order of the calls."""
        ...
