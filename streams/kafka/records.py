"""What is read of a topic-partition: aiokafka's records, and the offsets they cover."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal, NamedTuple, Protocol


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


class Batch(NamedTuple):
    """All records of one topic-partition in [start, end): fewer than offsets where there are transaction markers."""

    topic: str
    partition: int
    start: int
    end: int
    records: Sequence[RawRecord]
    size: int = 0
    """Bytes of memory that the records take, roughly."""


UnreadUnit = Literal["bytes", "headers"]
_UNREAD: Final[Mapping[UnreadUnit, tuple[str, str]]] = {
    "bytes": ("decompresses to more than", "in smaller batches"),
    "headers": ("has a record of more than", "with fewer headers"),
}


class UnreadBatch(bytes):
    """The value of the record that stands for a whole record batch that is too large to be decompressed, or one of
    whose records has too many headers.

    It is empty as bytes. `size` and `sha256` are those of the batch as stored in Kafka, `first` and `last` its offsets.
    """

    first: int
    last: int
    size: int
    sha256: str
    limit: int
    unit: UnreadUnit
    """What the limit counts."""

    @classmethod
    def of(cls, first: int, last: int, size: int, sha256: str, limit: int, unit: UnreadUnit = "bytes") -> UnreadBatch:
        value = cls()
        value.first, value.last, value.size, value.sha256 = first, last, size, sha256
        value.limit, value.unit = limit, unit
        return value

    @property
    def message(self) -> str:
        """Why it is rejected."""
        what, how = _UNREAD[self.unit]
        return (
            f"the record batch of offsets {self.first} to {self.last} {what} {self.limit:,} {self.unit}; "
            f"none of its records was read: send them again {how}"
        )


class UnreadRecord(NamedTuple):
    """The record that stands for the batch; it has the offset of the batch's last record."""

    offset: int
    timestamp: int
    value: UnreadBatch
    key: bytes | None = None
    headers: Sequence[tuple[str, bytes]] = ()
