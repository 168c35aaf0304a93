"""Reads the alerts of one destination: their rows are written, then they are delivered and their offsets committed."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import repeat
from typing import Any

import structlog
from aiokafka import ConsumerRebalanceListener
from aiokafka.structs import TopicPartition

from connect.notify.assigned_partitions import absent_partitions
from connect.notify.begin_anew import begin_anew
from connect.notify.close_ordering import CloseOrdering, WaitingClose
from connect.notify.delivery_queue import DeliveryQueue
from connect.notify.destination_rows import DestinationRows
from connect.notify.incident_summaries import IncidentSummaries
from connect.notify.lag_measurement import LagMeasurement
from connect.notify.metrics import NotifyMetrics
from connect.notify.page_store import ALERTS, INCIDENTS, PageStore, no_topic
from connect.notify.page_store_rows import TOPIC, StateRow, StoredPages, probe_row
from connect.notify.parked_messages import ParkedMessages
from connect.notify.parked_upkeep import discard_parked
from connect.notify.partition_loading import PartitionLoading
from connect.notify.read_positions import ReadPositions
from connect.notify.read_records import InShort, ReadRecords
from connect.notify.retained_pages import RetainedPages
from connect.notify.routing.loaded import RoutingInForce
from connect.notify.row_feed import RowFeed
from connect.notify.trigger_reader import Read, TriggerReader, UnreadEnd
from connect.notify.triggers import PageTrigger
from streams.serde.codec import Codec
from streams.sla.instants import DAY
from streams.time_source import TimeSource

#: Applied without a pause for other tasks of the loop, which all destinations of a process share.
_MOST_RECORDS = 200
_POLL_MS = 250
_MEASURE_S = 2.0
#: How long parked messages are kept.
PARKED_RETENTION = 90 * DAY
#: How long requests in flight may take to end when partitions are revoked.
SHUTDOWN_S = 5.0

_Reads = Mapping[TopicPartition, Sequence[Read]]


class AlertConsumer(ConsumerRebalanceListener):  # type: ignore[misc]
    """One membership in its group. `on_ready` is called whenever partitions are loaded, with what is wrong, or None."""

    def __init__(
        self,
        name: str,
        routing: RoutingInForce,
        kafka: PageStore,
        delivery: DeliveryQueue,
        metrics: NotifyMetrics,
        on_ready: Callable[[str | None], None],
        codec: Codec,
        *,
        clock: TimeSource,
        earliest: bool,
        parked_retention: int = PARKED_RETENTION,
        summaries: IncidentSummaries | None = None,
        known: ReadRecords | None = None,
        feed: RowFeed | None = None,
        check_writes: bool = False,
        retained: RetainedPages | None = None,
        positions: ReadPositions | None = None,
    ) -> None:
        """With `check_writes` nothing is sent before Kafka has taken a row in each partition."""
        self._check_writes = check_writes
        self._retained = RetainedPages(name) if retained is None else retained
        self._positions = ReadPositions() if positions is None else positions
        self._summaries = IncidentSummaries() if summaries is None else summaries
        self._clock = clock
        self._parked = ParkedMessages(self._responsible_for, parked_retention, removed=self._is_removed)
        self._known = routing.routing.destinations.keys()
        self._name = name
        self._rows = DestinationRows(name, kafka, self._parked.read, self._responsible_for, feed)
        self._reader = TriggerReader(name, codec, metrics, known)
        self._routing = routing
        self._kafka = kafka
        self._delivery = delivery
        self._metrics = metrics
        self._on_ready = on_ready
        self._earliest = earliest
        self._rebalances = 0
        self._moving = False
        self._lock = asyncio.Lock()
        self._loading = PartitionLoading()
        self._measured_at = 0.0
        self._orderings: dict[int, CloseOrdering] = defaultdict(CloseOrdering)
        self._lag = LagMeasurement(name, kafka, routing, self._orderings, metrics, self._positions.expired)
        self._log = structlog.get_logger("connect.notify").bind(destination=name)

    async def run(self) -> None:
        """Run until cancelled. Raises the errors of Kafka's clients."""
        try:
            await self._run()
        finally:
            self._lag.stop()

    async def _run(self) -> None:
        while True:
            await self._loading.wait()
            if self._positions.begins_anew:
                rebalances = self._rebalances
                async with self._lock:
                    if rebalances == self._rebalances:
                        await begin_anew(self._positions, self._kafka, self._orderings, self._clock.now(), self._log)
            self._pause_or_resume()
            await self._housekeeping()
            most = min(max(self._delivery.capacity, 1), _MOST_RECORDS)
            fetched = await self._kafka.consumer.getmany(timeout_ms=_POLL_MS, max_records=most)
            await self._read_requests_again()
            rebalances = self._rebalances
            fetched = {**fetched, **self._rows.take(self._delivery.capacity if self._takes_more else 0)}
            # Without the lock: partitions may be revoked while the schema registry is asked.
            await self._reader.await_schemas(record for records in fetched.values() for record in records)
            await self._loading.wait()
            if rebalances != self._rebalances:  # the new owner of the partitions reads these records
                continue
            triggers = await self._read(fetched)
            await self._await_summaries(each for found in triggers.values() for each in found)
            await self._loading.wait()
            async with self._lock:
                if rebalances == self._rebalances:
                    await self._apply(fetched, triggers)

    async def stop_loading(self) -> None:
        """Before it leaves the group."""
        await self._loading.close()

    def close(self) -> None:
        """It has left the group."""
        self._rows.close()

    async def _read(self, fetched: Mapping[TopicPartition, Sequence[Any]]) -> _Reads:
        """What the records of alerts and closings ask for, in their order, as far as it concerns this destination."""
        rows = self._kafka.topic(TOPIC)
        found = dict[TopicPartition, list[Read]]()
        for where, records in fetched.items():
            if where.topic != rows:
                found[where] = await self._reader.read(records, self._may_concern)
        return found

    def _may_concern(self, record: Any, alert: InShort) -> bool:
        """False of an alert that is known to be routed to others only."""
        languages = self._routing.known_for(record.partition, record.offset, alert.id)
        return languages is None or self._name in languages

    async def _await_summaries(self, found: Iterable[Read]) -> None:
        """An alert may be read before the opening of its incident, which was written before it."""
        alerts = (each for each in found if isinstance(each, PageTrigger) and each.action == "trigger")
        if not all(self._summaries.known(each.incident) for each in alerts):
            await self._summaries.catch_up()

    # -- partitions ----------------------------------------------------------------------------------------------------

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Returns when no request for them is in flight, so another process may own them."""
        self._moving |= bool(list(revoked))
        await self._loading.stop()
        async with self._lock:
            self._rebalances += 1
            await self._delivery.suspend(SHUTDOWN_S)
            self._orderings.clear()
            self._parked.clear()
            self._rows.close()

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Begin to restore the stored pages."""
        self._moving, partitions = False, list(assigned)
        self._rebalances += 1
        self._kafka.consumer.pause(*partitions)  # nothing is fetched until it is known where to begin
        await self._loading.begin(lambda: self._load(partitions))

    async def read_back(self) -> None:
        """As after a rebalance. It stays a member: else others take over what only this one knows."""
        await self.on_partitions_revoked(())
        if not self._moving:
            await self.on_partitions_assigned(self._kafka.consumer.assignment())

    async def _load(self, assigned: Sequence[TopicPartition]) -> None:
        async with self._lock:
            await self._restore(assigned)

    async def _restore(self, assigned: Sequence[TopicPartition]) -> None:
        # A member that joined its group without a topic asks for it after minutes only, its worker within seconds.
        if (deleted := self._kafka.deleted_topic()) is not None:
            raise no_topic(deleted)
        rows = self._kafka.topic(TOPIC)
        of_events = [each for each in assigned if each.topic != rows]
        committed = await self._kafka.start_new_partitions(of_events, earliest=self._earliest)
        self._positions.resumed(committed)
        for where, offset in committed.offsets.items():  # `read_back` has read on from there
            self._kafka.consumer.seek(where, offset)
        others: dict[str, int] = defaultdict(int)
        await self._retained.begin(self._kafka.member.owner)
        stored = await self._rows.load([each.partition for each in assigned if each.topic == rows])
        for partition, (found, end) in stored.items():
            self._kafka.consumer.seek(TopicPartition(rows, partition), end)
            first = self._retained.restore(partition, found)
            first += [StateRow(key, value) for key, value in found.redacted.items()]
            first += [probe_row(self._name)] if self._check_writes else []
            await self._kafka.write(partition, [*first, *self._delivery.load(partition, found.pages())])
            self._retained.written(partition)
            self._delivery.rows_written()
            await self._retry(partition, found)
            for name, keys in found.others.items():
                others[name] += len(keys)
            if found.unreadable:
                self._metrics.unreadable.labels(self._name).inc(found.unreadable)
                self._log.warning("rows_unreadable", topic=rows, partition=partition, count=found.unreadable)
        self._log_unknown_destinations(others)
        self._retained.loaded()
        self._delivery.resume()
        self._log.info("partitions_assigned", partitions=sorted(stored), waiting=self._delivery.pending)
        problem = absent_partitions(assigned, [self._kafka.topic(each) for each in (ALERTS, INCIDENTS, TOPIC)])
        if problem is not None:
            self._log.error("partitions_incomplete", reason=problem)
        self._on_ready(problem)

    def _responsible_for(self, destination: str) -> bool:
        """One worker of the notifier also looks after destinations that were removed from the routing file."""
        known = self._routing.routing.destinations
        return destination == self._name or (self._is_removed(destination) and self._name == min(known))

    def _is_removed(self, destination: str) -> bool:
        return destination not in self._routing.routing.destinations

    def _log_unknown_destinations(self, others: Mapping[str, int]) -> None:
        for name, count in others.items():
            if count and name != self._name and self._responsible_for(name):
                self._log.warning("destination_not_in_routing_file", absent=name, count=count)

    # -- records -------------------------------------------------------------------------------------------------------

    def _pause_or_resume(self) -> None:
        """Pause all topics while enough messages wait, and the topic of closings while some wait for alerts."""
        consumer = self._kafka.consumer
        assigned: set[TopicPartition] = consumer.assignment()
        if not self._takes_more:
            wanted = assigned
        else:
            incidents, rows, left = self._kafka.topic(INCIDENTS), self._kafka.topic(TOPIC), self._positions.left
            wanted = {each for each in assigned if each.topic == incidents and self._orderings[each.partition]}
            wanted |= {each for each in assigned if each.topic != rows and each.partition in left}
            if self._rows.fed:  # they are assigned so that members of the group share partitions as before
                wanted |= {each for each in assigned if each.topic == rows}
        paused = consumer.paused()
        consumer.pause(*(wanted - paused))
        consumer.resume(*(paused - wanted))

    @property
    def _takes_more(self) -> bool:
        return self._delivery.health.disabled is None and self._delivery.capacity > 0

    async def _read_requests_again(self) -> None:
        """More were written than are kept while none could be taken: they are still in Kafka."""
        if not self._rows.overrun or not self._takes_more:
            return
        async with self._lock:
            for partition, (found, _) in (await self._rows.read_again()).items():
                await self._retry(partition, found)

    async def _retry(self, partition: int, stored: StoredPages) -> None:
        for incident, message in stored.retries.values():
            await self._kafka.write(partition, self._delivery.retry(partition, incident, message))
            self._delivery.rows_written()

    async def _housekeeping(self) -> None:
        """Now and then: measure the lag, discard old parked messages."""
        now = asyncio.get_running_loop().time()
        if now - self._measured_at < _MEASURE_S:
            return
        self._measured_at = now
        self._lag.begin()
        if self._known != self._routing.routing.destinations.keys():
            await self._read_parked_again()
        await discard_parked(self._parked, self._kafka, self._clock.now(), self._name, self._metrics, self._log)

    async def _read_parked_again(self) -> None:
        """After a change of destinations: this worker may look after others that are no more."""
        async with self._lock:
            self._known = self._routing.routing.destinations.keys()
            rows = self._kafka.topic(TOPIC)
            mine = [each.partition for each in self._kafka.consumer.assignment() if each.topic == rows]
            if self._name == min(self._known, default=None):
                self._parked.clear()
                await self._kafka.stored_pages(mine, self._name, self._parked.read, self._responsible_for)

    async def _apply(self, fetched: Mapping[TopicPartition, Sequence[Any]], triggers: _Reads) -> None:
        """Rows are written before offsets are committed: a crash in between repeats, and skips nothing."""
        done: dict[TopicPartition, int] = {}
        rows: dict[int, list[StateRow]] = defaultdict(list)
        alerts, incidents = self._kafka.topic(ALERTS), self._kafka.topic(INCIDENTS)

        def close(partition: int, closings: Iterable[WaitingClose]) -> None:
            for closing in closings:
                rows[partition] += self._apply_read(partition, closing.offset, closing.trigger)
                done[TopicPartition(incidents, partition)] = closing.offset + 1

        for where in sorted(fetched, key=lambda each: each.topic != incidents):  # closings first, to be ordered
            ordering = self._orderings[where.partition]
            if where.topic in {alerts, incidents} and fetched[where]:
                self._positions.read(where, fetched[where][0].offset, fetched[where][-1].offset)
            for record, trigger in zip(fetched[where], triggers.get(where, repeat(None)), strict=False):
                if where.topic == alerts:
                    close(where.partition, ordering.before(record.timestamp))
                    rows[where.partition] += self._apply_read(where.partition, record.offset, trigger)
                    done[where] = record.offset + 1
                elif where.topic == incidents:
                    ordering.add(WaitingClose(record.timestamp, record.offset, trigger))
                else:
                    self._parked.read(where.partition, record.key, record.value)
                    request = self._reader.retry_request(record)
                    if request is not None:
                        rows[where.partition] += self._delivery.retry(where.partition, *request)
        mine = self._kafka.consumer.assignment()
        waiting = {where: each for p, each in self._orderings.items() if (where := TopicPartition(alerts, p)) in mine}
        unknown = [where for where, ordering in waiting.items() if ordering and ordering.barrier is None]
        ends = await asyncio.gather(*(self._kafka.known_end(where) for where in unknown))
        for where, end in zip(unknown, ends, strict=True):
            waiting[where].barrier = end
        for where, ordering in waiting.items():
            if ordering:
                close(where.partition, ordering.read_up_to(await self._kafka.consumer.position(where)))
        for partition in sorted({each.partition for each in fetched}):
            rows[partition] += self._delivery.fold_if_full(partition)
        await asyncio.gather(*(self._kafka.write(partition, changed) for partition, changed in rows.items()))
        self._delivery.rows_written()
        self._positions.applied(done)
        if done:
            await self._kafka.commit(self._positions.with_texts(done, alerts, incidents, self._clock.now()))

    def _apply_read(self, partition: int, offset: int, found: Read) -> list[StateRow]:
        if isinstance(found, UnreadEnd):
            found = self._reader.trigger(found.record) if self._delivery.has_page(partition, found.incident) else None
        if found is None:
            return []
        if found.action != "trigger":
            return self._delivery.apply(partition, found)
        languages = self._routing.destinations_for(found, partition, offset)
        return self._delivery.apply(partition, found, languages[self._name]) if self._name in languages else []
