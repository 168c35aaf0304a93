"""Reads the summaries of incidents from their openings."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import structlog
from aiokafka.errors import KafkaError

from connect.kafka_io.cancellation import keep_running
from connect.kafka_io.connection import all_partitions
from connect.notify.incident_summaries import IncidentSummaries
from streams.errors import SlaError
from streams.kafka import aiokafka_clients
from streams.kafka.cancellation import CLIENT_ENDED
from streams.kafka.shutdown import end_consumer
from streams.runtime.processor import RetryLater
from streams.serde.codec import Codec
from streams.serde.input_records import INCIDENT_EVENTS
from streams.settings import Settings
from streams.sla.events import Rejection
from streams.sla.instants import DAY
from streams.time_source import TimeSource

#: Openings older than this, or further back in a partition, are not read at a start.
_READ_BACK = 7 * DAY
_MOST_READ_BACK = 200_000
#: How long an alert waits for its incident's opening to be read.
_CATCH_UP_S = 2.0
_RECONNECT_S = 30.0
_SCHEMA_S = 5.0
_POLL_MS = 200
_REQUEST_MS = 10_000
_OPENED = "incident.opened"


class SummaryReader(IncidentSummaries):
    """Reads the openings of all partitions until it is cancelled. Without Kafka, or without the permission to read the
    topic, pages have no summaries."""

    def __init__(self, settings: Settings, codec: Codec, clock: TimeSource) -> None:
        super().__init__()
        self._settings = settings
        self._codec = codec
        self._clock = clock
        self._consumer: Any = None
        self._awaited: dict[asyncio.Event, Mapping[Any, int]] = {}
        self._log = structlog.get_logger("connect.notify")

    async def run(self) -> None:
        await keep_running(self._read, self._unavailable, _RECONNECT_S)

    def _unavailable(self, error: Exception | asyncio.CancelledError) -> None:
        """Pages without summaries are better than none."""
        if isinstance(error, asyncio.CancelledError):
            self._log.warning("summaries_unavailable", reason=CLIENT_ENDED)
        else:
            self._log.warning("summaries_unavailable", reason=repr(error), consequence="pages have no summary")

    async def catch_up(self) -> None:
        consumer = self._consumer
        if consumer is None:
            return
        reached = asyncio.Event()
        try:
            async with asyncio.timeout(_CATCH_UP_S):
                self._awaited[reached] = await consumer.end_offsets(list(consumer.assignment()))
                await reached.wait()
        except (TimeoutError, KafkaError, OSError):
            return
        finally:
            self._awaited.pop(reached, None)

    async def _read(self) -> None:
        topic = f"{self._settings.topic_prefix}.{INCIDENT_EVENTS}"
        consumer = aiokafka_clients.consumer(
            self._settings.bootstrap(),
            self._settings.aiokafka_security(),
            client_id="sla-notify-summaries",
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            request_timeout_ms=_REQUEST_MS,
        )
        try:
            await consumer.start()
            if topic not in await consumer.topics():
                raise SlaError(f"there is no topic {topic}, or it may not be read")
            await all_partitions(consumer, topic, _REQUEST_MS / 1_000)
            await self._seek(consumer)
            self._consumer = consumer
            while True:
                for records in (await consumer.getmany(timeout_ms=_POLL_MS)).values():
                    for record in records:
                        await self._take(record)
                await self._wake(consumer)
        finally:
            self._consumer = None
            await end_consumer(consumer)

    async def _seek(self, consumer: Any) -> None:
        since = (self._clock.now() - _READ_BACK) // 1_000
        partitions = list(consumer.assignment())
        ends = await consumer.end_offsets(partitions)
        found = await consumer.offsets_for_times(dict.fromkeys(partitions, since))
        for where in partitions:
            begin = ends[where] if found[where] is None else found[where].offset
            consumer.seek(where, max(begin, ends[where] - _MOST_READ_BACK))

    async def _take(self, record: Any) -> None:
        if dict(record.headers).get("ce_type", _OPENED.encode()) != _OPENED.encode():
            return
        try:
            decoded = self._codec.decode(record.value)
        except RetryLater as awaited:
            await asyncio.wait([awaited.answered], timeout=_SCHEMA_S)
            try:
                decoded = self._codec.decode(record.value)
            except RetryLater:
                return
        if not isinstance(decoded, Rejection) and decoded[0] == _OPENED:
            self.add(str(decoded[1]["subject"]), decoded[1].get("summary"))

    async def _wake(self, consumer: Any) -> None:
        for reached, ends in list(self._awaited.items()):
            if all([await consumer.position(where) >= end for where, end in ends.items()]):
                reached.set()
