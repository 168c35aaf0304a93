"""The log of one partition: records by offset, open transactions, compaction, deletion."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import NamedTuple

from aiokafka import errors as kafka

Headers = Sequence[tuple[str, bytes]]


class Record(NamedTuple):
    """As a consumer gets it."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


class Sent(NamedTuple):
    """As a producer sends it."""

    key: bytes | None
    value: bytes | None
    headers: Headers = ()


class Written(NamedTuple):
    """A record with the virtual second at which it was written, and by whom."""

    at: float
    by: object
    record: Record
    late: bool
    """Whether its writer did not have the partition any more."""


class _Batches:
    """Of one idempotent producer: where each of its batches was written, and which one comes next."""

    def __init__(self) -> None:
        self.offsets: dict[int, int] = {}
        self.next: int | None = None


class PartitionLog:
    """Offsets have gaps where records were compacted, and at markers of transactions."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.start = 0
        self.end = 0
        self.transactions: dict[Hashable, int] = {}
        """Those that are open, each with its first offset."""
        self.history: list[Written] = []
        """All that was ever written."""
        self._batches: dict[int, _Batches] = {}

    @property
    def stable(self) -> int:
        """Where readers of committed records have to stop."""
        return min(self.transactions.values(), default=self.end)

    def append(self, record: Record) -> None:
        self.records.append(record)
        self.end = record.offset + 1

    def begin(self, transaction: Hashable) -> None:
        self.transactions.setdefault(transaction, self.end)

    def commit(self, transaction: Hashable) -> None:
        """Its marker takes an offset."""
        del self.transactions[transaction]
        self.end += 1

    def known_batch(self, producer: int, sequence: int) -> int | None:
        """Where a batch was written that is sent again. Raises KafkaError where one before it is missing."""
        batches = self._batches.setdefault(producer, _Batches())
        if sequence in batches.offsets:
            return batches.offsets[sequence]
        if batches.next is not None and sequence != batches.next:
            raise kafka.OutOfOrderSequenceNumber
        return None

    def remember_batch(self, producer: int, sequence: int, offset: int, count: int) -> None:
        batches = self._batches[producer]
        batches.offsets[sequence] = offset
        batches.next = sequence + count

    def read(self, at: int, most: int, *, committed: bool) -> tuple[list[Record], int] | None:
        """Records from an offset on, and where to go on; None where the offset is out of range."""
        if not self.start <= at <= self.end:
            return None
        end = self.stable if committed else self.end
        found = [each for each in self._from(at) if each.offset < end]
        taken = found[:most]
        return taken, (end if len(taken) == len(found) else taken[-1].offset + 1)

    def _from(self, at: int) -> Iterable[Record]:
        number = len(self.records)
        while number and self.records[number - 1].offset >= at:
            number -= 1
        return self.records[number:]

    def compact(self, sealed: int, *, tombstones: bool) -> None:
        """Keep the last record of each key below the offset `sealed`. What comes later has no say: a record stays
        although a newer one follows, and a late one drops the one that counts. `tombstones`: their time is over too."""
        last = {each.key: each.offset for each in self.records if each.offset < sealed}
        self.records = [
            each
            for each in self.records
            if each.offset >= sealed or (last[each.key] == each.offset and not (tombstones and each.value is None))
        ]

    def delete_before(self, offset: int) -> None:
        """As retention does."""
        self.start = max(self.start, min(offset, self.end))
        self.records = [each for each in self.records if each.offset >= self.start]
