"""What is read of a topic-partition: aiokafka's records, and the offsets they cover."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, Literal, NamedTuple, Protocol, TypeVar


class RawRecord(Protocol):
    """A record as aiokafka returns it; `timestamp` in milliseconds."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


class HasOffset(Protocol):
    """A record of either client."""

    @property
    def offset(self) -> int: ...


_R = TypeVar("_R", bound=HasOffset)


class Batch(NamedTuple):
    """All records of one topic-partition in [start, end): fewer than offsets where there are transaction markers."""

    topic: str
    partition: int
    start: int
    end: int
    records: Sequence[RawRecord]
    size: int = 0
    """Bytes of memory that the records take, roughly."""


UnreadUnit = Literal["bytes", "headers", "damage"]
_UNREAD: Final[Mapping[UnreadUnit, tuple[str, str]]] = {
    "bytes": ("decompresses to more than", "in smaller batches"),
    "headers": ("has a record of more than", "with fewer headers"),
}


class UnreadBatch(bytes):
    """The value of the record that stands for a whole record batch that is too large to be decompressed, or one of
    whose records has too many headers; or for the end of a batch that no reader here understands, though Kafka took it.

    It is empty as bytes. `size` and `sha256` are those of the batch as stored in Kafka, `first` and `last` the offsets
    that were not read.
    """

    first: int
    last: int
    size: int
    sha256: str
    limit: int
    unit: UnreadUnit
    """What the limit counts; `damage` where there is no limit, but something that can't be read."""

    @classmethod
    def of(cls, first: int, last: int, size: int, sha256: str, limit: int, unit: UnreadUnit = "bytes") -> UnreadBatch:
        value = cls()
        value.first, value.last, value.size, value.sha256 = first, last, size, sha256
        value.limit, value.unit = limit, unit
        return value

    @property
    def code(self) -> Literal["oversize", "undecodable"]:
        """As what it is rejected."""
        return "undecodable" if self.unit == "damage" else "oversize"

    @property
    def message(self) -> str:
        """Why it is rejected."""
        if self.unit == "damage":
            return (
                f"the record batch is malformed at offsets {self.first} to {self.last}, so that none of these records "
                "was read: send them again with another client"
            )
        what, how = _UNREAD[self.unit]
        return (
            f"the record batch of offsets {self.first} to {self.last} {what} {self.limit:,} {self.unit}; "
            f"none of its records was read: send them again {how}"
        )


def in_offset_order(
    records: Iterable[_R], first: int, last: int, count: int, numbered: Callable[[_R, int], _R]
) -> Iterator[_R]:
    """The records of a batch with the offsets that Kafka counts: `first` to `last` without a gap if there are as many,
    and in rising order between them if compaction has removed some. `numbered` copies a record with another offset.

    Kafka does not look at the offsets inside of a batch without compression. Whoever goes by them skips what follows a
    record with an offset too high, never returns one with an offset too low, and applies others twice.
    """
    whole = count == last - first + 1
    expected = first
    for record in records:
        offset = record.offset
        if offset != expected and (whole or not expected <= offset <= last):
            offset = min(expected, last)
            record = numbered(record, offset)
        expected = offset + 1
        yield record


class UnreadRecord(NamedTuple):
    """The record that stands for the batch; it has the offset of the batch's last record."""

    offset: int
    timestamp: int
    value: UnreadBatch
    key: bytes | None = None
    headers: Sequence[tuple[str, bytes]] = ()
