"""aiokafka's producer and consumer over the fake broker, as far as the runtime uses them.

`installed` puts these clients in the place of aiokafka's, below `streams.kafka.aiokafka_clients`, so the simulation
runs `streams.runtime.kafka_log` and `streams.runtime.transactions` too. A client keeps to what aiokafka does, good or
bad: commit waits for what was sent, and succeeds although a record failed, if nobody looked at that record's future.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any
from unittest import mock

from aiokafka import errors as kafka
from aiokafka.structs import OffsetAndMetadata, TopicPartition

from streams.kafka import aiokafka_clients
from streams.kafka.topic_descriptions import TopicDescription
from streams.runtime.errors import TaskInterrupted
from streams.runtime.kafka_log import Offsets

from .fake_broker import Broker, Entry, Sent
from .network import Network


class FakeBatch:
    """A record batch that is full after a few records."""

    def __init__(self, room: int) -> None:
        self.records: list[Sent] = []
        self._room = room

    def append(
        self, *, timestamp: int, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes]]
    ) -> object | None:
        if len(self.records) == self._room:
            return None
        self.records.append(Sent(timestamp, key, value, tuple(headers)))
        return True

    def close(self) -> None:
        self._room = len(self.records)


class FakeProducer:
    """AIOKafkaProducer with a transactional id."""

    def __init__(
        self,
        broker: Broker,
        network: Network,
        *,
        transactional_id: str,
        transaction_timeout_ms: int,
        **_: object,
    ) -> None:
        self.client = SimpleNamespace(close=network.turn)
        self._broker = broker
        self._network = network
        self._name = transactional_id
        self._timeout_ms = transaction_timeout_ms
        self._epoch = -1
        self._sent: list[asyncio.Future[Any]] = []
        self._broken: set[TopicPartition] = set()
        self._closed = False

    async def start(self) -> None:
        self._epoch = await self._network.send("init", lambda: self._broker.initialise(self._name, self._timeout_ms))

    async def stop(self) -> None:
        self._closed = True
        await asyncio.sleep(self._network.delay() * self._network.random.choice((0, 1, 100)))

    async def begin_transaction(self) -> None:
        if self._closed:
            raise kafka.ProducerClosed
        self._sent = []
        self._broken = set()
        await self._network.turn()

    def create_batch(self) -> FakeBatch:
        return FakeBatch(self._network.random.choice((1, 2, 3, 100)))

    async def send_batch(self, batch: FakeBatch, topic: str, *, partition: int) -> asyncio.Future[Any]:
        where = TopicPartition(topic, partition)
        future = self._network.send("produce", lambda: self._produce(where, batch), line=(self, where))
        future.add_done_callback(lambda done: self._broken.add(where) if done.cancelled() or done.exception() else None)
        self._sent.append(future)
        await self._network.turn()
        return future

    def _produce(self, where: TopicPartition, batch: FakeBatch) -> None:
        if where in self._broken:
            raise kafka.OutOfOrderSequenceNumber(f"{where}: a batch before it is missing")
        self._broker.produce(self._name, self._epoch, where, batch.records)

    async def send_offsets_to_transaction(
        self, offsets: Mapping[TopicPartition, OffsetAndMetadata], group: str
    ) -> None:
        found = {where: each.offset for where, each in offsets.items()}
        await self._network.send(
            "offsets", lambda: self._broker.add_offsets(self._name, self._epoch, group, found), line=self
        )

    async def commit_transaction(self) -> None:
        await asyncio.gather(*self._sent, return_exceptions=True)
        await self._network.send("commit", lambda: self._broker.end(self._name, self._epoch, commit=True), line=self)


class FakeConsumer:
    """AIOKafkaConsumer with assigned partitions."""

    def __init__(
        self,
        broker: Broker,
        network: Network,
        *,
        isolation_level: str,
        group_id: str | None = None,
        **_: object,
    ) -> None:
        self._broker = broker
        self._network = network
        self._committed = isolation_level == "read_committed"
        self._group = group_id or ""
        self._positions: dict[TopicPartition, int] = {}

    async def start(self) -> None:
        await self._network.send("connect", lambda: None)

    async def stop(self) -> None:
        await self._network.turn()

    def assign(self, partitions: Iterable[TopicPartition]) -> None:
        self._positions = dict.fromkeys(partitions, 0)

    def seek(self, where: TopicPartition, offset: int) -> None:
        self._positions[where] = offset

    async def position(self, where: TopicPartition) -> int:
        await self._network.turn()
        return self._positions[where]

    async def beginning_offsets(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]:
        found: Mapping[TopicPartition, int] = await self._network.send("starts", lambda: dict.fromkeys(partitions, 0))
        return found

    async def end_offsets(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]:
        def ends() -> Mapping[TopicPartition, int]:
            logs = {where: self._broker.log(where) for where in partitions}
            return {where: log.stable if self._committed else log.end for where, log in logs.items()}

        found: Mapping[TopicPartition, int] = await self._network.send("ends", ends)
        return found

    async def committed(self, where: TopicPartition) -> int | None:
        found: int | None = await self._network.send("committed", lambda: self._broker.groups.get((self._group, where)))
        return found

    async def getmany(self, where: TopicPartition, *, timeout_ms: int) -> Mapping[TopicPartition, list[Entry]]:
        start, most = self._positions[where], self._network.random.choice((1, 3, 1_000))
        records, self._positions[where] = await self._network.send(
            "read", lambda: self._broker.log(where).read(start, most, committed=self._committed)
        )
        if self._positions[where] == start:
            await asyncio.sleep(timeout_ms / 1_000)
        return {where: records} if records else {}


@contextmanager
def installed(broker: Broker, network: Network) -> Iterator[None]:
    """The runtime's clients are these."""
    clients = SimpleNamespace(
        AIOKafkaProducer=partial(FakeProducer, broker, network), AIOKafkaConsumer=partial(FakeConsumer, broker, network)
    )

    async def topics(_: Offsets, names: Iterable[str], _cleanup_of: Iterable[str] = ()) -> dict[str, TopicDescription]:
        found = {name: TopicDescription(1, name.encode().ljust(16)[:16]) for name in names}
        try:
            return await network.send("ends", lambda: found)
        except (kafka.KafkaError, OSError) as error:
            raise TaskInterrupted(f"topics: {error!r}") from error

    with mock.patch.object(aiokafka_clients, "aiokafka", clients), mock.patch.object(Offsets, "topics", topics):
        yield
