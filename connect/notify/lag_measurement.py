"""Asks Kafka how far a destination is behind, and whether it has deleted what was not read; beside its reading: a
broker that gives no answer delays no alert."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import structlog
from aiokafka.errors import IllegalStateError
from aiokafka.structs import TopicPartition

from connect.notify.close_ordering import CloseOrdering
from connect.notify.expired_records import ExpiredRecords
from connect.notify.metrics import NotifyMetrics
from connect.notify.page_store import ALERTS, PageStore
from connect.notify.page_store_rows import TOPIC
from connect.notify.routing.loaded import RoutingInForce
from streams.kafka.cancellation import CLIENT_ENDED

#: Measurements from one look at what Kafka has deleted to the next; it deletes every few minutes.
_STARTS_EVERY = 15


class LagMeasurement:
    """Of one membership in a group: one measurement at a time."""

    def __init__(
        self,
        name: str,
        kafka: PageStore,
        routing: RoutingInForce,
        orderings: Mapping[int, CloseOrdering],
        metrics: NotifyMetrics,
        expired: ExpiredRecords,
    ) -> None:
        self._name = name
        self._kafka = kafka
        self._routing = routing
        self._orderings = orderings
        self._metrics = metrics
        self._expired = expired
        self._measured = 0
        self._log = structlog.get_logger("connect.notify").bind(destination=name)
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Measure, unless that is under way. Raises what the last measurement has raised: then Kafka is away."""
        if self._task is not None:
            if not self._task.done():
                return
            task, self._task = self._task, None
            if task.cancelled():
                raise ConnectionError(CLIENT_ENDED)
            task.result()
        self._task = asyncio.create_task(self._measure())

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _measure(self) -> None:
        """A paused consumer does not learn its lag from fetches."""
        partitions = [each for each in self._kafka.consumer.assignment() if each.topic != self._kafka.topic(TOPIC)]
        if not partitions:
            return
        try:
            barriers = {each: ordering.barrier for each, ordering in self._orderings.items()}
            furthest = self._routing.furthest()  # before Kafka is asked: other destinations go on meanwhile
            ends = await self._kafka.known_ends(partitions)
            lags = [max(end - await self._kafka.consumer.position(where), 0) for where, end in ends.items()]
        except IllegalStateError:  # a rebalance is under way
            return
        self._metrics.behind.labels(self._name).set(sum(lags))
        for where, end in ends.items():
            if where.topic == self._kafka.topic(ALERTS):
                self._routing.alerts_end(where.partition, end, furthest)
                ordering = self._orderings.get(where.partition)
                # A barrier that was set meanwhile may be beyond this end.
                if ordering is not None and ordering.barrier == barriers.get(where.partition):
                    ordering.alerts_end(end)
        if self._measured % _STARTS_EVERY == 0:
            self._tell_expired(await self._kafka.known_starts(ends))
        self._measured += 1

    def _tell_expired(self, starts: Mapping[TopicPartition, int]) -> None:
        for each in self._expired.found(starts):
            self._metrics.expired.labels(self._name).inc(each.next - each.first)
            self._log.error(
                "records_expired",
                topic=each.where.topic,
                partition=each.where.partition,
                first=each.first,
                next=each.next,
                consequence="Kafka deleted them before they were read",
            )
