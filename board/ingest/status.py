"""What the ingest thread tells others about itself."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Any

from board.ingest.checkpoints import Place


@dataclass(frozen=True, slots=True)
class IngestStatus:
    """`failure` is why nothing can be read or written at present, None while all is well. `reached_end` is whether
    every partition has been read to where it ended when this process connected; until then the rows are incomplete.

    `positions` and `ends` are next offsets to read and end offsets; `read` and `total` count the offsets of the topics
    as they were at the start. `skipped` counts records that are no events of their topics. `applied_at` is when the
    last transaction was committed (microseconds).
    """

    failure: str | None = "not connected yet"
    reached_end: bool = False
    positions: dict[Place, int] = field(default_factory=dict)
    ends: dict[Place, int] = field(default_factory=dict)
    read: int = 0
    total: int = 0
    applied: int = 0
    skipped: int = 0
    applied_at: int | None = None

    @property
    def lag(self) -> int:
        """Offsets that are not read yet, in all partitions."""
        return sum(max(end - self.positions.get(place, 0), 0) for place, end in self.ends.items())

    @property
    def position(self) -> int:
        """One number that grows with every transaction."""
        return sum(self.positions.values())


class StatusBoard:
    """The present status, which any thread may read."""

    def __init__(self) -> None:
        self._status = IngestStatus()
        self._lock = Lock()

    @property
    def status(self) -> IngestStatus:
        """The latest."""
        return self._status

    def change(self, **fields: Any) -> IngestStatus:
        """Replace fields of the status."""
        with self._lock:
            self._status = replace(self._status, **fields)
            return self._status
