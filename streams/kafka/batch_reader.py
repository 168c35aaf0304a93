"""Reads what a started aiokafka consumer has fetched, as batches that say which offsets they cover.

`batch_reader` returns a reader on aiokafka's fetcher where the installed version is known, and else one on its public
`getmany`, which costs more for each record.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from aiokafka import errors as kafka
from aiokafka.structs import TopicPartition

from streams.kafka.patches import AIOKAFKA
from streams.kafka.records import Batch, RawRecord

_RECORD_BYTES = 200
"""Memory for a record or a header beside its value, roughly."""
_UNASSIGNED_S = 0.05
"""Before the next look while the consumer has no assignment."""


class BatchReader(Protocol):
    """Not concurrent: one `take` at a time, in the event loop of the consumer."""

    async def take(self, wanted: frozenset[TopicPartition], timeout_s: float) -> list[Batch]:
        """What has been fetched of the wanted partitions, or nothing after `timeout_s`.

        Raises the error of a partition after the batches of the others have been taken.
        """
        ...

    def nudge(self) -> None:
        """End a `take` that waits: other partitions are wanted now."""
        ...

    def moved(self) -> None:
        """A position was changed by a seek."""
        ...


def batch_reader(consumer: Any) -> BatchReader:
    """The fastest reader that the installed aiokafka allows."""
    fetcher = getattr(consumer, "_fetcher", None)
    needed = ("_subscriptions", "_records", "_closed", "_create_fetch_waiter")
    if AIOKAFKA.applied("header_names") and all(hasattr(fetcher, name) for name in needed):
        return FetcherReader(fetcher)
    return GetmanyReader(consumer)


class FetcherReader:
    """Reads aiokafka's fetcher: whole batches, and no task switch between a position and its records."""

    def __init__(self, fetcher: Any) -> None:
        self._fetcher = fetcher
        self._failed: kafka.KafkaError | None = None
        self._waiter: asyncio.Future[Any] | None = None

    async def take(self, wanted: frozenset[TopicPartition], timeout_s: float) -> list[Batch]:
        if self._failed is not None:
            failed, self._failed = self._failed, None
            raise failed
        fetcher = self._fetcher
        subscriptions = fetcher._subscriptions
        subscription = subscriptions.subscription
        if fetcher._closed:
            raise kafka.ConsumerStoppedError
        if subscriptions.reassignment_in_progress or subscription is None or subscription.assignment is None:
            await asyncio.sleep(_UNASSIGNED_S)
            return []
        with subscriptions.fetch_context():
            batches = self._fetched(subscription.assignment, wanted)
            if not batches and self._failed is None:
                self._waiter = fetcher._create_fetch_waiter()
                await asyncio.wait([self._waiter], timeout=timeout_s)
                if not self._waiter.cancel() and not self._waiter.cancelled():
                    self._waiter.exception()  # an error of the group, see group_errors; asyncio logs what nobody reads
        return batches

    def _fetched(self, assignment: Any, wanted: frozenset[TopicPartition]) -> list[Batch]:
        """Positions are read before and after without yielding to other tasks, so a seek can't come in between."""
        from streams.kafka.patches.for_aiokafka.record_batches import fetched  # its imports need the known version

        states = {tp: assignment.state_value(tp) for tp in wanted if tp in assignment.tps}
        starts = {tp: state.position for tp, state in states.items() if state.has_valid_position}
        records: dict[TopicPartition, tuple[list[RawRecord], int]] = {}
        for tp in [tp for tp in self._fetcher._records if tp in starts]:
            try:
                records[tp] = fetched(self._fetcher, tp)
            except kafka.KafkaError as error:
                self._failed = error
        return [
            Batch(tp.topic, tp.partition, start, states[tp].position, *records.get(tp, ((), 0)))
            for tp, start in starts.items()
            if states[tp].position != start
        ]

    def nudge(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def moved(self) -> None:
        """Positions are read with their records."""


class GetmanyReader:
    """Reads through the consumer's public methods."""

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer
        self._seeks = 0
        self._nudged = asyncio.Event()

    async def take(self, wanted: frozenset[TopicPartition], timeout_s: float) -> list[Batch]:
        self._nudged.clear()
        assigned = wanted & self._consumer.assignment()
        if not assigned:
            await asyncio.sleep(_UNASSIGNED_S)
            return []
        seeks = self._seeks
        starts = {tp: await self._consumer.position(tp) for tp in assigned}
        fetched: Mapping[TopicPartition, list[RawRecord]] = await self._consumer.getmany(*assigned, timeout_ms=0)
        if not fetched:
            try:
                await asyncio.wait_for(self._nudged.wait(), timeout_s)
            except TimeoutError:
                fetched = await self._consumer.getmany(*assigned, timeout_ms=0)
        ends = {tp: await self._consumer.position(tp) for tp in assigned & self._consumer.assignment()}
        if seeks != self._seeks:
            return []  # after a seek the order is unknown; the task that sought reads these records again
        return [
            Batch(tp.topic, tp.partition, starts[tp], end, records := fetched.get(tp, []), _size(records))
            for tp, end in ends.items()
            if end > starts[tp]
        ]

    def nudge(self) -> None:
        self._nudged.set()

    def moved(self) -> None:
        self._seeks += 1


def _size(records: Sequence[RawRecord]) -> int:
    return sum(len(each.value or b"") + _RECORD_BYTES * (1 + len(each.headers)) for each in records)
