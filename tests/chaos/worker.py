"""One worker process of the simulation: a task on the runtime's own Kafka code, a feed, a clock that may be off."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import count
from typing import Any

from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from streams.runtime.interfaces import Batch
from streams.runtime.kafka_log import KafkaLog, Offsets
from streams.runtime.processor import Processor
from streams.runtime.run_loop import CommitInterval
from streams.runtime.settings import RuntimeSettings
from streams.runtime.task import StreamTask
from streams.runtime.transaction_builder import TransactionLimits
from streams.time_source import SystemTimeSource

from .fake_broker import Broker
from .loop import PROCESS, Loop
from .network import Network

AGENT = "desk"
SETTINGS = RuntimeSettings(app_id="sim", brokers=("fake",), prefix="sim", partitions=1)


@dataclass(frozen=True)
class Sizes:
    """Small bounds, so that every one of them is met."""

    limits: TransactionLimits
    queue: int
    fetch: int
    skew_us: int
    commit_interval: CommitInterval


class VirtualClock(SystemTimeSource):
    """The machine's clock of one process, `ahead_us` ahead of the broker's."""

    def __init__(self, network: Network, ahead_us: int) -> None:
        self._network = network
        self._ahead_us = ahead_us

    def now(self) -> int:
        return self._network.now_us() + self._ahead_us


class Trace:
    """The task's logger: silent unless somebody listens."""

    def __init__(self, tell: Callable[[str], None] | None) -> None:
        self._tell = tell

    def info(self, event: str, **values: object) -> None:
        if self._tell is not None:
            values.pop("recovery_s", None)
            self._tell(f"{event} {values}")

    warning = error = info


class Feed:
    """Reads the inputs and hands batches over: late, cut anywhere, sometimes again, after a rewind also old ones."""

    def __init__(self, broker: Broker, network: Network, topics: tuple[str, ...], fetch: int) -> None:
        self.task: StreamTask | None = None
        self.changed = asyncio.Event()
        self._broker = broker
        self._network = network
        self._topics = topics
        self._fetch = fetch
        self._at: dict[str, int] = {}

    async def rewind(self, topics: Iterable[str], partition: int) -> None:
        assert self.task is not None
        wanted = {topic: self.task.wants(topic) for topic in topics}
        await asyncio.sleep(self._network.delay())
        self._at |= {topic: offset for topic, offset in wanted.items() if offset is not None}
        self.changed.set()

    def flow(self, topics: Iterable[str], partition: int) -> None:
        self.changed.set()

    async def run(self) -> None:
        """As long as the process lives."""
        while True:
            moved = [await self._read(topic) for topic in self._topics]
            if not any(moved):
                await self.changed.wait()
                self.changed.clear()

    async def _read(self, topic: str) -> bool:
        task, was = self.task, self._at.get(topic)
        if task is None or was is None or task.wants(topic) is None or not task.accepts(topic):
            return False
        chance = self._network.random.random
        start = was if chance() < 0.95 else max(0, was - 3)  # another task of this worker wanted them again
        log = self._broker.log(TopicPartition(topic, 0))
        maximum = 1 + int(chance() * self._fetch)
        try:
            records, end = await self._network.send("fetch", lambda: log.read(start, maximum))
        except KafkaError:
            await asyncio.sleep(0.5)
            return True
        if end == start:
            return False
        if self._at[topic] == was:
            self._at[topic] = end
        task.offer(Batch(topic, 0, start, end, records))
        return True


class Worker:
    """`process` owns every task that it starts."""

    def __init__(
        self,
        process: int,
        broker: Broker,
        network: Network,
        topics: tuple[str, ...],
        make: Callable[[int], Processor],
        sizes: Sizes,
        *,
        ahead_us: int,
    ) -> None:
        self.process = process
        self.leaving = False
        self._context = contextvars.copy_context()
        self._context.run(PROCESS.set, process)
        self._loop: Loop = network.loop
        self.feed = Feed(broker, network, topics, sizes.fetch)
        log = KafkaLog(SETTINGS, Offsets(SETTINGS), AGENT, 0, topics)
        self.task = self.feed.task = StreamTask(
            AGENT,
            0,
            topics,
            make,
            log=log,
            feed=self.feed,
            clock=VirtualClock(network, ahead_us),
            limits=sizes.limits,
            commit_interval=sizes.commit_interval,
            max_clock_skew_us=sizes.skew_us,
            queue_records=sizes.queue,
            app_id=SETTINGS.app_id,
            stopwatch=count(0.0, 0.01).__next__,  # each look at it is 10 ms later, in every run of a seed
        )
        tell = network.trace
        self.task._logger = Trace(None if tell is None else lambda said: tell(f"p{process} {said}"))
        self._loop.call_soon(self._start, context=self._context)

    def _start(self) -> None:
        self.task.start()
        asyncio.create_task(self.feed.run(), name="feed")  # noqa: RUF006 -- the loop's list of tasks holds it

    def stop(self) -> asyncio.Task[Any]:
        """Let go in good order, as after a revocation."""
        self.leaving = True
        return self._loop.create_task(self.task.stop(), context=self._context)
