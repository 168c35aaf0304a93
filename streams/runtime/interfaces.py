"""What a task needs of Kafka: transactions, its changelog, offsets, and a feed of records. Tests use a fake."""

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
    """One transaction: effects, the encoded checkpoint, and the consumer group's offset per topic."""

    effects: Effects
    checkpoint: bytes
    offsets: Mapping[str, int]
    timestamp_ms: int


class Transactions(Protocol):
    """The transactional producer of one task."""

    async def commit(self, write: Write) -> None:
        """Write all of it or nothing. Raises TaskFenced, TaskInterrupted, WriteRefused; unusable after that."""
        ...

    async def put_row(self, key: bytes, value: bytes) -> None:
        """Write one changelog row in a transaction of its own, without offsets; raises as `commit` does."""
        ...

    async def discard(self) -> None:
        """Close the producer, whatever its state; never raises."""
        ...


class TaskLog(Protocol):
    """Kafka for the task of (agent, partition). Every method raises TaskInterrupted when Kafka is unavailable."""

    async def fence(self) -> Transactions:
        """Take over the transactional id: on return the previous owner is fenced and its open transaction has ended."""
        ...

    def replay(self) -> AsyncIterator[Sequence[tuple[bytes, bytes | None]]]:
        """Every row of the task's changelog. A transaction of another program that hides rows raises too."""
        ...

    async def committed(self) -> Mapping[str, int]:
        """The consumer group's offset per input topic, where there is one."""
        ...

    async def bounds(self) -> Mapping[str, Bounds]:
        """Per input topic."""
        ...

    async def topic_ids(self) -> Mapping[str, bytes]:
        """The id of each input topic and of the changelog, as far as the broker tells it."""
        ...

    async def ends(self) -> Mapping[str, int]:
        """Per input topic, the last stable offset, asked for after this was called."""
        ...


class Feed(Protocol):
    """The source of records, shared by the tasks of a worker."""

    async def rewind(self, topics: Iterable[str], partition: int) -> None:
        """Deliver these partitions again from the lowest offset that any running task expects."""
        ...

    def flow(self, topics: Iterable[str], partition: int) -> None:
        """A task's queue exceeded its bound, or is below it again."""
        ...
