"""The partitions that a consumer has at a time, and how far each is read."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence

from aiokafka.structs import TopicPartition

from .partition_log import Record


class Position:
    """Of one partition."""

    def __init__(self) -> None:
        self.next: int | None = None
        """The offset of what is given next; None while it is not known."""
        self.known = asyncio.Event()
        self.fetch: int | None = None
        """The offset of what is fetched next."""
        self.paused = False
        self._fetched: deque[tuple[deque[Record], int]] = deque()

    def seek(self, offset: int) -> None:
        self.next = self.fetch = offset
        self._fetched.clear()
        self.known.set()

    @property
    def has_fetched(self) -> bool:
        return bool(self._fetched)

    @property
    def wants(self) -> bool:
        """Whether records are to be fetched."""
        return not self.paused and self.fetch is not None and not self._fetched

    def fetched(self, records: Sequence[Record], after: int) -> None:
        self._fetched.append((deque(records), after))
        self.fetch = after

    def take(self, most: int) -> list[Record]:
        """Of what was fetched; moves on."""
        taken: list[Record] = []
        while self._fetched and len(taken) < most:
            records, after = self._fetched[0]
            while records and len(taken) < most:
                taken.append(records.popleft())
                self.next = taken[-1].offset + 1
            if records:
                break
            self._fetched.popleft()
            self.next = after
        return taken


class Assignment:
    """Until it is `over`."""

    def __init__(self, places: Iterable[TopicPartition]) -> None:
        self.positions = {each: Position() for each in places}
        self.over = asyncio.Event()
