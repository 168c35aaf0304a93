"""What a task needs of Kafka: transactions, its changelog, offsets, and a feed of records. Tests bring a fake."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from streams.kafka.records import Batch, RawRecord
from streams.runtime.processor import Effects

__all__ = ["Batch", "Bounds", "Feed", "RawRecord", "TaskLog", "Transactions", "Write"]


class Bounds(NamedTuple):
    """The log of one topic-partition: its first offset and its last stable one."""

    start: int
    end: int


class Write(NamedTuple):
    """One transaction: what `effects` says, the applied row, and the consumer group's offsets per topic."""

    effects: Effects
    checkpoint: bytes
    offsets: Mapping[str, int]
    timestamp_ms: int


class Transactions(Protocol):
    """The open right to write as one task."""

    async def commit(self, write: Write) -> None:
        """Write it all or nothing; raises TaskFenced, TaskInterrupted or WriteRefused. Never called again after."""
        ...

    async def discard(self) -> None:
        """Let go, whatever the state; never raises."""
        ...


class TaskLog(Protocol):
    """Kafka as one task of (agent, partition) sees it. Everything raises TaskInterrupted when the broker is away."""

    async def fence(self) -> Transactions:
        """Take the transactional id over: the former owner's open transaction is settled when this returns."""
        ...

    def replay(self) -> AsyncIterator[Sequence[tuple[bytes, bytes | None]]]:
        """The task's changelog from its first row to its last stable one."""
        ...

    async def committed(self) -> Mapping[str, int]:
        """The consumer group's offset per input topic, where there is one."""
        ...

    async def bounds(self) -> Mapping[str, Bounds]:
        """Per input topic."""
        ...

    async def ends(self) -> Mapping[str, int]:
        """Per input topic, the last stable offset, asked for after this was called."""
        ...


class Feed(Protocol):
    """Where records come from; shared by the tasks of a worker."""

    async def rewind(self, topics: Iterable[str], partition: int) -> None:
        """Deliver these partitions again from the lowest offset that any running task expects."""
        ...

    def flow(self, topics: Iterable[str], partition: int) -> None:
        """A task's queue went over its bound, or is below it again."""
        ...
