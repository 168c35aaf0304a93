"""A notifier as a process of the simulation: destination workers, the feed of rows, looks at the topics.

Wired as `connect.notify.service.serve` does it, without HTTP, signals and files.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from random import Random  # noqa: TID251 -- seeded
from typing import Literal

from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from connect.notify.destination_worker import DestinationWorker
from connect.notify.destination_workers import DestinationWorkers
from connect.notify.metrics import NotifyMetrics
from connect.notify.page import Page
from connect.notify.page_store import PageStore, new_consumer
from connect.notify.read_records import ReadRecords
from connect.notify.routing.loaded import LoadedRouting, RoutingInForce
from connect.notify.routing.rules import Route
from connect.notify.row_feed import RowFeed
from connect.notify.row_loading import RowLoading
from connect.notify.topic_ids import TopicIds
from streams.errors import SlaError
from streams.serde.codec import Codec
from streams.settings import read_settings
from streams.sla.instants import SECOND
from tests.chaos.loop import PROCESS

from .broker import BASE_MS, Broker
from .incidents import ALERTS, INCIDENTS, ROWS
from .receivers import Receiver, Sender

CODEC = Codec()
SETTINGS = read_settings()
_LOOK_S = 5.0
_STOP_S = 7.5
PageKey = tuple[str, int, str]
"""Destination, partition, incident or digest."""


class Clock:
    """The time source of one machine, which differs from others'."""

    def __init__(self, loop: asyncio.AbstractEventLoop, skew: int) -> None:
        self._loop = loop
        self._skew = skew

    def now(self) -> int:
        return BASE_MS * 1_000 + int(self._loop.time() * SECOND) + self._skew

    async def wait(self, event: asyncio.Event, until: int | None) -> None:
        left = None if until is None else min(max((until - self.now()) / SECOND, 0.0), 1.0)
        try:
            async with asyncio.timeout(left):
                await event.wait()
        except TimeoutError:
            pass


class Notifier:
    """`routes` names its routing file."""

    def __init__(
        self, number: int, broker: Broker, receivers: Mapping[str, Receiver], random: Random, routing: LoadedRouting
    ) -> None:
        self.number = number
        self.state: Literal["runs", "stops", "stopped", "dead"] = "runs"
        self.ended = ""
        """What ended it, where nobody did."""
        self._broker = broker
        self._receivers = receivers
        self._routing = routing
        self.wished_ms = broker.now_ms()
        """When it started, or was given its file."""
        self._clock = Clock(broker.loop, random.choice([0, 0, 0, 400_000, -400_000]))
        self._destinations: DestinationWorkers | None = None
        token = PROCESS.set(number)
        try:
            self._task = broker.loop.create_task(self._run())
        finally:
            PROCESS.reset(token)

    @property
    def suspended(self) -> bool:
        return self._broker.loop.frozen(self.number)

    def kill(self) -> None:
        if self.state in {"runs", "stops"}:
            self._broker.loop.freeze(self.number)
            self.state = "dead"

    def stop(self) -> None:
        """In good order."""
        self.state = "stops"
        self._task.cancel()

    def use(self, routing: LoadedRouting) -> None:
        """Its file has changed."""
        self._routing, self.wished_ms = routing, self._broker.now_ms()
        if self._destinations is not None:
            self._destinations.use(routing)

    # -- the process ---------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        metrics, known, loading, codec = NotifyMetrics(), ReadRecords(), RowLoading(), CODEC
        feed = RowFeed(
            "sla",
            lambda: new_consumer(["kafka:9092"], {}),
            lambda key, value: destinations.routes_row(key, value),  # noqa: PLW0108
            lambda: destinations.routes_read(),  # noqa: PLW0108 -- it is made later
        )

        def make(name: str, found: LoadedRouting, routing: RoutingInForce) -> DestinationWorker:
            destination = found.routing.destinations[name]
            begun, ids = set[TopicPartition](), TopicIds(self._topic_ids)
            return DestinationWorker(
                destination,
                routing,
                Sender(self._receivers[name], self.number, destination.timeout / SECOND),
                lambda name: PageStore(SETTINGS, name, loading, begun, ids),
                self._clock,
                metrics,
                codec,
                known=known,
                feed=feed,
                rows_id=self._rows_id,
            )

        destinations = self._destinations = DestinationWorkers(self._routing, make, metrics, self._clock)
        works = (destinations.run(), feed.run(), self._look_at_topics(destinations, feed))
        tasks = [asyncio.create_task(each) for each in works]
        try:
            ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            self.ended = "; ".join(repr(each.exception()) for each in ended)
        finally:
            for each in tasks:
                each.cancel()
            await asyncio.wait(tasks, timeout=_STOP_S)
            self.state = "stopped"

    async def _topic_ids(self, names: Iterable[str]) -> Mapping[str, bytes]:
        try:
            found: Mapping[str, bytes] = await self._broker.net.call("meta", lambda: dict(self._broker.ids), 5.0)
        except KafkaError as error:
            raise SlaError(repr(error)) from error
        return {name: found[name] for name in names if name in found}

    async def _rows_id(self) -> bytes:
        found = await self._topic_ids([ROWS])
        if ROWS not in found:
            raise SlaError(f"there is no topic {ROWS}")
        return found[ROWS]

    async def _look_at_topics(self, destinations: DestinationWorkers, feed: RowFeed) -> None:
        """As `TopicShape` does."""
        ids: dict[str, bytes] = {}
        topics = (ALERTS, INCIDENTS, ROWS)
        while True:
            try:
                found = await self._topic_ids(topics)
            except SlaError:
                found = {}
            same = len(found) == len(topics)
            for name, each in found.items():
                if ids.setdefault(name, each) != each:
                    same, ids[name] = False, each
                    _tell_made_anew(destinations, feed, name, each)
            if same:
                destinations.same_topics()
            await asyncio.sleep(_LOOK_S)

    # -- what the checks look at ---------------------------------------------------------------------------------------

    def pages(self) -> Iterator[tuple[PageKey, Page]]:
        """Those in its memory."""
        for worker in self._workers:
            if (delivery := worker._delivery) is not None:
                for partition, pages in delivery._pages.queue.by_partition().items():
                    for each in pages:
                        yield (worker.name, partition, each.incident), each

    def unfinished(self) -> list[str]:
        """Why it is not done with everything."""
        found = []
        for worker in self._workers:
            if worker.failure is not None:
                found.append(f"{self.number}/{worker.name}: {worker.failure}")
            elif worker._delivery is None:
                found.append(f"{self.number}/{worker.name} is not connected")
            elif worker._delivery._suspended:
                found.append(f"{self.number}/{worker.name} reads its rows")
            elif worker._delivery.pending:
                found.append(f"{self.number}/{worker.name}: {worker._delivery.pending} messages wait")
        if self.exchanges:
            found.append(f"{self.number}: its routes are not in force")
        return found

    @property
    def exchanges(self) -> bool:
        """Whether its file is to be in force, and is not yet."""
        found = self._destinations
        return found is None or not found._restored or found._exchange is not None

    @property
    def wished(self) -> Sequence[Route]:
        """The routes of its file."""
        return self._routing.routing.routes

    @property
    def in_force(self) -> Sequence[Route]:
        """The routes that it goes by."""
        return () if self._destinations is None else self._destinations._routing.routing.routes

    @property
    def _workers(self) -> Iterable[DestinationWorker]:
        return () if self._destinations is None else self._destinations.workers


def _tell_made_anew(destinations: DestinationWorkers, feed: RowFeed, topic: str, topic_id: bytes) -> None:
    if topic == ROWS:
        feed.made_anew()
        destinations.rows_made_anew(topic_id)
        return
    destinations.read_anew(topic, topic_id)
    if topic == ALERTS:
        destinations.alerts_made_anew()
