"""What is read of a topic-partition: records as aiokafka hands them over, and the offsets they cover."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class RawRecord(Protocol):
    """A record as aiokafka hands it over; `timestamp` in milliseconds."""

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
    """All there is to read of one topic-partition in [start, end): fewer records than offsets where markers lie."""

    topic: str
    partition: int
    start: int
    end: int
    records: Sequence[RawRecord]
