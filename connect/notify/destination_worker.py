"""Delivers the alerts of one destination: a consumer group of its own, so that no other destination delays it."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog
from aiokafka.errors import KafkaError

from connect.kafka_io.cancellation import finish, keep_running
from connect.notify.alert_consumer import PARKED_RETENTION, SHUTDOWN_S, AlertConsumer
from connect.notify.delivery_queue import DeliveryQueue
from connect.notify.destinations.http_sender import Sender
from connect.notify.destinations.kind import Destination
from connect.notify.failure_reports import ReportedReason, reason_of
from connect.notify.incident_summaries import IncidentSummaries
from connect.notify.metrics import NotifyMetrics
from connect.notify.page_store import PageStore
from connect.notify.page_store_rows import StateRow
from connect.notify.read_positions import ReadPositions
from connect.notify.read_records import ReadRecords
from connect.notify.retained_pages import RetainedPages
from connect.notify.routing.loaded import RoutingInForce
from connect.notify.routing.recorded import PARTITION
from connect.notify.row_feed import RowFeed
from streams.errors import SlaError
from streams.log_damper import CrashLog
from streams.serde.codec import Codec
from streams.time_source import TimeSource
from streams.topics import DEFAULT_PREFIX

_RECONNECT_S = 2.0


class DestinationWorker:
    """Delivers to one destination until it is cancelled. It reconnects after every failure of Kafka."""

    def __init__(
        self,
        destination: Destination,
        routing: RoutingInForce,
        sender: Sender,
        connect: Callable[[str], PageStore],
        clock: TimeSource,
        metrics: NotifyMetrics,
        codec: Codec,
        *,
        earliest: bool = False,
        deployment: str = DEFAULT_PREFIX,
        parked_retention: int = PARKED_RETENTION,
        summaries: IncidentSummaries | None = None,
        known: ReadRecords | None = None,
        feed: RowFeed | None = None,
        rows_id: Callable[[], Awaitable[bytes]] | None = None,
    ) -> None:
        """`rows_id` asks Kafka for the id of the topic of rows."""
        self._known = known
        self._feed = feed
        self.name = name = destination.name
        self._destination = destination
        self._codec = codec
        self.failure: str | None = "not connected to Kafka yet"
        self._routing = routing
        self._sender = sender
        self._connect = connect
        self._clock = clock
        self._metrics = metrics
        self._earliest = earliest
        self._deployment = deployment
        self._parked_retention = parked_retention
        self._summaries = summaries
        # What interrupts one worker of a process interrupts all: they do not come back at the same moment.
        self._pause_s = _RECONNECT_S * (1 + zlib.crc32(name.encode()) % 100 / 100)
        self._disabled: str | None = None
        self._retained = RetainedPages(name) if rows_id is None else RetainedPages(name, rows_id)
        self._rows_lost = asyncio.Event()
        self.positions = ReadPositions()
        self._check_writes = False
        self._reported = ReportedReason()
        self._delivery: DeliveryQueue | None = None
        self._kafka: PageStore | None = None
        self._log = structlog.get_logger("connect.notify").bind(destination=name)
        self._crashes = CrashLog(self._log, "destination_worker_failed")
        metrics.pending.labels(name).set_function(lambda: self._delivery.pending if self._delivery else 0)
        metrics.open_pages.labels(name).set_function(lambda: self._delivery.open_pages if self._delivery else 0)
        metrics.up.labels(name).set_function(
            lambda: float(self.failure is None and self._delivery is not None and self._delivery.health.healthy)
        )

    async def run(self) -> None:
        """Connect, deliver, and reconnect after a failure."""
        try:
            await keep_running(self._run_once, self._failed, self._pause_s)
        finally:
            await self._sender.close()

    def _failed(self, error: Exception | asyncio.CancelledError) -> None:
        # Where Kafka takes no rows, what is sent can't be written, and would be sent at each reconnect.
        self._check_writes = True
        if isinstance(error, asyncio.CancelledError | KafkaError | OSError | SlaError):
            self.failure = reason_of(error)
            if self._reported.is_new(self.failure):
                self._log.warning("kafka_unavailable", reason=self.failure)
        else:
            self._crashes.caught(error)
            self.failure = f"internal error: {type(error).__name__}"

    async def alert_ends(self) -> Mapping[int, int]:
        """The offset after the last alert that has been written, by partition. Raises KafkaError, OSError, SlaError."""
        if self._kafka is None:
            raise SlaError("not connected to Kafka")
        return await self._kafka.alert_ends()

    async def has_begun(self) -> bool:
        """Whether its group has an offset in every partition of the alerts, those of other notifiers included. Raises
        KafkaError, OSError, SlaError."""
        if self._kafka is None:
            raise SlaError("not connected to Kafka")
        return await self._kafka.has_begun()

    @property
    def shares(self) -> bool:
        """Whether other notifiers have partitions of this destination, as far as is known."""
        return self.failure is None and self._kafka is not None and self._kafka.shares_partitions()

    async def record(self, rows: Sequence[StateRow]) -> None:
        """Write rows of routes. Raises KafkaError, OSError, SlaError."""
        if self._kafka is None:
            raise SlaError("not connected to Kafka")
        await self._kafka.append(PARTITION, rows)

    def same_topics(self) -> None:
        """Kafka says that all topics are those of the last look."""
        self.positions.same_topics(self._clock.now())

    def rows_made_anew(self, topic_id: bytes) -> None:
        """The topic of rows has another id. A worker that has not read that one writes what it has in memory again."""
        if self._retained.topic_id != topic_id:
            self._rows_lost.set()

    async def _restore_lost_rows(self, consumer: AlertConsumer) -> None:
        while True:
            await self._rows_lost.wait()
            self._rows_lost.clear()
            await consumer.read_back()

    async def _run_once(self) -> None:
        """One connection to Kafka, from joining the group until it fails. What was read but not committed by then is
        read again."""
        self._rows_lost.clear()
        kafka = self._connect(self.name)
        delivery = self._delivery = DeliveryQueue(
            self._destination, self._sender, kafka, self._clock, self._metrics, self._deployment, self._summaries,
            self._retained,
        )  # fmt: skip
        delivery.health.disabled = self._disabled
        consumer = AlertConsumer(
            self.name, self._routing, kafka, delivery, self._metrics, self._connected, self._codec,
            clock=self._clock, earliest=self._earliest, parked_retention=self._parked_retention,
            summaries=self._summaries, known=self._known, feed=self._feed, check_writes=self._check_writes,
            retained=self._retained, positions=self.positions,
        )  # fmt: skip
        tasks: list[asyncio.Task[None]] = []
        try:
            await kafka.start(consumer)
            self._kafka = kafka
            works = (delivery.run(), consumer.run(), self._restore_lost_rows(consumer))
            tasks = [asyncio.create_task(work) for work in works]
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            self._kafka = None
            # Half a clean-up would leave a member in the group that has partitions and delivers nothing.
            await finish(self._disconnect(kafka, delivery, consumer, tasks))

    async def _disconnect(
        self, kafka: PageStore, delivery: DeliveryQueue, consumer: AlertConsumer, tasks: Sequence[asyncio.Task[None]]
    ) -> None:
        """Let requests in flight end and write their outcome, then leave the group; each within seconds."""
        for task in tasks[1:]:
            task.cancel()
        await consumer.stop_loading()
        await delivery.suspend(SHUTDOWN_S)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._disabled, self._delivery = delivery.health.disabled, None
        await kafka.stop()
        consumer.close()

    def _connected(self, problem: str | None) -> None:
        self._check_writes = False
        self.failure = problem
        self._reported.over()
