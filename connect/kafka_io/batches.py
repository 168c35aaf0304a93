"""Record batches for Kafka: filled here, sent when full, acknowledged by the broker."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from connect.kafka_io.connection import BrokerProblem, explained
from streams.kafka import aiokafka_clients

#: aiokafka's idempotent producer retries for ever; a command reports the problem after this time.
ACK_TIMEOUT_S = 30
_LINGER_MS = 20
_BATCH_BYTES = 256 * 1024
_IN_FLIGHT = 64
_SHUTDOWN_S = 2


async def acknowledged(sent: asyncio.Future[Any]) -> Any:
    """What Kafka has made of what was sent. Raises BrokerProblem where it does not answer in time."""
    try:
        return await asyncio.wait_for(sent, ACK_TIMEOUT_S)
    except TimeoutError:
        raise BrokerProblem(f"Kafka has acknowledged nothing for {ACK_TIMEOUT_S} s") from None


class PublishingStopped(BrokerProblem):
    """The broker went away or refused; `acknowledged` events are in Kafka, some after them may be."""

    def __init__(self, reason: str, acknowledged: int) -> None:
        super().__init__(f"{reason} ({acknowledged:,} events were acknowledged before)")
        self.acknowledged = acknowledged


class SentRange(NamedTuple):
    """Acknowledged records: the offsets from `start` up to, not including, `end` of a partition."""

    topic: str
    partition: int
    start: int
    end: int


class Batches:
    """One record batch being filled for each partition; sent when full or when asked."""

    def __init__(self, producer: Any) -> None:
        self._producer = producer
        self._open: dict[tuple[str, int], Any] = {}
        self._sent: list[tuple[asyncio.Future[Any], int]] = []
        self._ranges: dict[tuple[str, int], list[SentRange]] = {}
        self.acknowledged = 0

    @property
    def ranges(self) -> list[SentRange]:
        """Where the acknowledged records are, by partition and offset."""
        return [each for ranges in self._ranges.values() for each in ranges]

    async def add(
        self, topic: str, partition: int, key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]]
    ) -> None:
        """Put a record into its partition's batch; waits while too many batches are in flight."""
        where = (topic, partition)
        batch = self._open.get(where)
        if batch is not None and batch.append(timestamp=None, key=key, value=value, headers=headers) is not None:
            return
        if batch is not None:
            await self._send(where)
        batch = self._open[where] = self._producer.create_batch()
        added = batch.append(timestamp=None, key=key, value=value, headers=headers)
        assert added is not None, "a record fits an empty batch"

    async def flush(self) -> None:
        """Send what waits and await every acknowledgement."""
        for where in list(self._open):
            await self._send(where)
        await self._acknowledge(0)

    async def abandon(self) -> None:
        """After an error: count the batches that were acknowledged nevertheless, and drop the rest."""
        for future, _ in self._sent:
            future.cancel()
        results = await asyncio.gather(*(future for future, _ in self._sent), return_exceptions=True)
        for (_, count), result in zip(self._sent, results, strict=True):
            if not isinstance(result, BaseException):
                self._count(result, count)
        self._sent.clear()

    async def _send(self, where: tuple[str, int]) -> None:
        batch = self._open.pop(where)
        batch.close()
        future = await self._producer.send_batch(batch, where[0], partition=where[1])
        self._sent.append((future, batch.record_count()))
        await self._acknowledge(_IN_FLIGHT)

    async def _acknowledge(self, leave: int) -> None:
        while len(self._sent) > leave:
            future, count = self._sent[0]
            self._count(await acknowledged(future), count)
            del self._sent[0]

    def _count(self, metadata: Any, count: int) -> None:
        self.acknowledged += count
        found = SentRange(metadata.topic, metadata.partition, metadata.offset, metadata.offset + count)
        ranges = self._ranges.setdefault(found[:2], [])
        if ranges and ranges[-1].end == found.start:
            ranges[-1] = ranges[-1]._replace(end=found.end)
        else:
            ranges.append(found)


@asynccontextmanager
async def sending(brokers: Iterable[str], security: Mapping[str, object] | None = None) -> AsyncIterator[Batches]:
    """Batches of an idempotent producer; everything is acknowledged at the end. Raises PublishingStopped."""
    addresses = list(brokers)
    producer = aiokafka_clients.idempotent_producer(
        addresses,
        security,
        client_id="sla-publish",
        linger_ms=_LINGER_MS,
        max_batch_size=_BATCH_BYTES,
        request_timeout_ms=ACK_TIMEOUT_S * 1000,
    )
    with explained(addresses):
        await producer.start()
    batches = Batches(producer)
    try:
        with explained(addresses):
            yield batches
            await batches.flush()
    except BrokerProblem as problem:
        await batches.abandon()
        raise PublishingStopped(str(problem), batches.acknowledged) from problem
    finally:
        await batches.abandon()
        with contextlib.suppress(TimeoutError):  # it waits for records that can't be delivered
            await asyncio.wait_for(producer.stop(), _SHUTDOWN_S)
