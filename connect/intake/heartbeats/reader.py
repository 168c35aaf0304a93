"""Reads the topic of heartbeats from its beginning on: all partitions, without a consumer group."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from aiokafka.errors import KafkaTimeoutError
from aiokafka.structs import TopicPartition

from connect.intake.heartbeats.rows import TOPIC
from connect.kafka_io.connection import partitions_of
from streams.errors import SlaError
from streams.kafka import aiokafka_clients
from streams.kafka.shutdown import end_consumer
from streams.settings import Settings

_REQUEST_MS = 10_000
_FETCH_WAIT_MS = 250
_POLL_MS = 200
#: The other partitions are not kept waiting for longer by one whose leader is gone or hangs.
_ENDS_S = 2.0
#: Rows that are read at once: what is made of them here keeps requests waiting.
_MAX_ROWS = 10_000
#: What Kafka says of records with the instant of their writer's clock.
_CREATE_TIME = 0


class LogRow(NamedTuple):
    """A record of the topic; `at` is the broker's timestamp in microseconds since 1970."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    at: int


class HeartbeatReader(Protocol):
    """The topic, as the service of heartbeats reads it. Errors are KafkaError, OSError, TimeoutError and SlaError."""

    @property
    def problem(self) -> str | None:
        """Why some partitions are not read, while others are."""
        ...

    async def open(self) -> int:
        """Begin at the beginning; the number of partitions. One that no broker leads is read once there is a leader."""
        ...

    async def read(self) -> Sequence[LogRow]:
        """The next rows, those of each partition in order; returns soon, also without any."""
        ...

    def caught_up(self, partition: int) -> bool:
        """Whether `read` has returned all rows that the partition had at `open`."""
        ...

    async def close(self) -> None:
        """Close the connection."""
        ...


class KafkaHeartbeatReader:
    """The topic on Kafka."""

    def __init__(self, settings: Settings, security: Mapping[str, object]) -> None:
        self._settings = settings
        self._security = security
        self._consumer: Any = None
        self._asked: dict[TopicPartition, asyncio.Task[Mapping[TopicPartition, int]]] = {}
        """Partitions whose ends Kafka has not told yet."""
        self._ends: dict[TopicPartition, int] = {}
        self._positions: dict[TopicPartition, int] = {}

    @property
    def problem(self) -> str | None:
        if not self._asked:
            return None
        names = ", ".join(f"{each.topic}/{each.partition}" for each in self._asked)
        return f"Kafka does not say where {names} ends, so its monitors are not watched: no broker may lead it"

    async def open(self) -> int:
        topic = f"{self._settings.topic_prefix}.{TOPIC}"
        consumer = self._consumer = aiokafka_clients.consumer(
            self._settings.bootstrap(),
            self._security,
            client_id="sla-intake-heartbeats",
            group_id=None,
            auto_offset_reset="earliest",
            request_timeout_ms=_REQUEST_MS,
            fetch_max_wait_ms=_FETCH_WAIT_MS,
        )
        await consumer.start()
        numbers = (await partitions_of(self._settings.bootstrap(), [topic], self._security))[topic]
        partitions = [TopicPartition(topic, number) for number in numbers]
        consumer.assign(partitions)
        self._positions = dict.fromkeys(partitions, 0)
        for partition in partitions:
            consumer.seek(partition, 0)  # known at once: the beginning would be that of a leader
            self._ask(partition)
        answered, _ = await asyncio.wait(self._asked.values(), timeout=_ENDS_S)
        if not answered:
            answered, _ = await asyncio.wait(self._asked.values(), return_when=asyncio.FIRST_COMPLETED)
        if all(each.exception() for each in answered):
            await answered.pop()
        self._take_ends()
        return len(numbers)

    def _ask(self, partition: TopicPartition) -> None:
        self._asked[partition] = asyncio.create_task(self._consumer.end_offsets([partition]))

    def _take_ends(self) -> None:
        """Take what Kafka has answered, and ask again where it has not in time. Raises KafkaError."""
        for partition, asked in [each for each in self._asked.items() if each[1].done()]:
            del self._asked[partition]
            try:
                self._ends |= asked.result()
            except KafkaTimeoutError:
                self._ask(partition)

    async def read(self) -> Sequence[LogRow]:
        batches = await self._consumer.getmany(timeout_ms=_POLL_MS, max_records=_MAX_ROWS)
        self._take_ends()
        for partition in self._positions:
            try:
                async with asyncio.timeout(0):  # it is known, or waits for a leader
                    self._positions[partition] = await self._consumer.position(partition)
            except TimeoutError:
                continue
        return [self._row(partition, record) for partition, records in batches.items() for record in records]

    def _row(self, partition: TopicPartition, record: Any) -> LogRow:
        """A record as a row. One from before the topic was set up rightly has no meaning: by clocks of writers that
        differ, monitors would be silent that are not. Raises SlaError where that is so now, once the end is known."""
        if record.timestamp_type != _CREATE_TIME:
            return LogRow(partition.partition, record.offset, record.key, record.value, record.timestamp * 1000)
        if record.offset >= self._ends.get(partition, record.offset + 1):
            raise SlaError(
                f"{partition.topic} has message.timestamp.type CreateTime; it must be LogAppendTime: "
                "`sla topics apply` sets it"
            )
        return LogRow(partition.partition, record.offset, None, None, 0)

    def caught_up(self, partition: int) -> bool:
        found = TopicPartition(f"{self._settings.topic_prefix}.{TOPIC}", partition)
        return found in self._ends and self._positions[found] >= self._ends[found]

    async def close(self) -> None:
        consumer, self._consumer = self._consumer, None
        for asked in self._asked.values():
            asked.cancel()
        await asyncio.gather(*self._asked.values(), return_exceptions=True)
        self._asked.clear()
        if consumer is not None:
            await end_consumer(consumer)
