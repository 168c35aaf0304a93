"""Whether Kafka has deleted alerts or closings that a destination had not read. Pure.

Kafka's client goes on at the first record that is left, and says nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from aiokafka.structs import TopicPartition

#: After the last record that was read there is the end of its transaction, which has an offset too.
_END_OF_TRANSACTION = 1


class ExpiredUnread(NamedTuple):
    """The offsets from the first one on, up to the next one without it, were deleted; some had no record."""

    where: TopicPartition
    first: int
    next: int


class ExpiredRecords:
    """What one destination has not read, by the offsets of its partitions."""

    def __init__(self) -> None:
        self._next: dict[TopicPartition, int] = {}
        self._gaps: dict[TopicPartition, tuple[int, int]] = {}
        """The widest since Kafka was asked last: where reading would have gone on, and where it did."""

    def resumed(self, committed: Mapping[TopicPartition, int]) -> None:
        """Reading begins at what was committed, in these partitions and no others."""
        self._next = dict(committed)
        self._gaps.clear()

    def read(self, where: TopicPartition, first: int, last: int) -> None:
        """Records were read, the next that there were."""
        expected = self._next.get(where, first)
        start, end = self._gaps.get(where, (0, 0))
        if first - expected > end - start:
            self._gaps[where] = expected, first
        self._next[where] = last + 1

    def found(self, starts: Mapping[TopicPartition, int]) -> list[ExpiredUnread]:
        """What was deleted unread, each once, by the offsets of the first records that are left."""
        found = []
        for where, start in starts.items():
            first, end = self._gaps.pop(where, (start, start))
            left = min(start, end)  # more may be deleted by now, which had been read
            if first + _END_OF_TRANSACTION < left:
                found.append(ExpiredUnread(where, first, left))
            at = self._next.get(where, start)
            if at + _END_OF_TRANSACTION < start:
                found.append(ExpiredUnread(where, at, start))
            if at < start:
                self._next[where] = start
        return found
