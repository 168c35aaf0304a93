"""A worker: a Faust app that assigns partitions and delivers batches, and the shards that live on them."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import faust
import structlog
from aiokafka.structs import TopicPartition
from faust.app.base import BootStrategy

from streams.kafka.rebootstrap import rebootstrap
from streams.runtime.errors import InputLost, WorkerRefused
from streams.runtime.interfaces import Batch
from streams.runtime.kafka_log import KafkaLog, Offsets
from streams.runtime.processor import Processor
from streams.runtime.run_loop import AT_ONCE, CommitInterval
from streams.runtime.scheduler import Scheduler
from streams.runtime.settings import RuntimeSettings
from streams.runtime.task import StreamTask, TaskState
from streams.runtime.transaction_builder import TransactionLimits
from streams.runtime.transport import BatchConsumer, BatchTopic, BatchTransport
from streams.time_source import SystemTimeSource, TimeSource

_CRASH_LOOK_S = 0.5


@dataclass(frozen=True, slots=True)
class AgentSpec:
    """An agent: its name (in topics, groups and transactional ids), its input topics, what runs per partition, and how
    often that commits."""

    name: str
    topics: tuple[str, ...]
    processor: Callable[[int], Processor]
    pace: CommitInterval = AT_ONCE
    can_wait: bool = False
    """When there is too much to do, all its shards together get as much time as one of another agent."""


class _Boot(BootStrategy):  # type: ignore[misc]
    enable_web = False
    enable_kafka_producer = False  # shards write through producers of their own


class Host:
    """Composes one worker; `app` is its Faust app. Make it inside a running event loop."""

    def __init__(self, settings: RuntimeSettings, agents: Sequence[AgentSpec], clock: TimeSource | None = None) -> None:
        self.settings = settings
        self.agents = tuple(agents)
        self.shards: dict[tuple[str, int], StreamTask] = {}
        self.assigned = False
        self._unserved: list[dict[str, object]] = []
        self._refused: WorkerRefused | None = None
        self._apart: dict[tuple[str, int], int] = {}
        """The lives whose state is out of the garbage collector's sight."""
        self._clock = clock or SystemTimeSource()
        self._offsets = Offsets(settings)
        turns = Scheduler()
        self._turns = {spec.name: turns.shared() if spec.can_wait else turns for spec in self.agents}
        self._logger = structlog.get_logger("streams.runtime.host")
        rebootstrap()
        self.app = self._app()

    def _app(self) -> faust.App:
        app = faust.App(
            self.settings.app_id,
            broker=[f"kafka://{broker}" for broker in self.settings.brokers],
            autodiscover=False,
            datadir=os.curdir,  # named only because Faust wants one
            Topic=BatchTopic,
            topic_allow_declare=False,
            topic_disable_leader=True,
            stream_wait_empty=False,
            web_enabled=False,
            broker_session_timeout=self.settings.session_timeout_ms / 1_000,
            broker_heartbeat_interval=self.settings.heartbeat_interval_ms / 1_000,
            broker_request_timeout=max(self.settings.request_timeout_ms, self.settings.session_timeout_ms) / 1_000,
        )
        app._create_directories = lambda: None  # nothing is kept on disk: a worker starts where it can't write
        app.boot_strategy = _Boot(app)
        app.transport = BatchTransport(app, self.settings, self._out_of_range)
        for spec in self.agents:
            channel = app.topic(*spec.topics, key_type=bytes, value_type=bytes, acks=False, internal=False)
            app.agent(channel, name=spec.name)(self._deliverer(spec))
        app.on_partitions_assigned.connect(self._on_assigned)
        app.on_partitions_revoked.connect(self._on_revoked)
        return app

    def _deliverer(self, spec: AgentSpec) -> Callable[[Any], Any]:
        async def deliver(stream: Any) -> None:
            events: AsyncIterator[Any] = stream.noack().events()
            async for event in events:
                batches: Sequence[Batch] = event.value
                for batch in batches:
                    shard = self.shards.get((spec.name, batch.partition))
                    if shard is not None:
                        shard.offer(batch)

        deliver.__name__ = spec.name
        return deliver

    async def start(self) -> None:
        """Join the group; shards come with the assignment. Without topics as they should be it is not joined."""
        counts = await self._offsets.partitions({topic for spec in self.agents for topic in spec.topics})
        for topic, found in sorted(counts.items()):
            if found not in (0, self.settings.partitions):
                self._refuse(topic, found)
                return
        await self.app.start()

    async def stop(self) -> None:
        """Finish open transactions, then leave the group."""
        self.assigned = False
        self._consumer.open_only(frozenset())
        await self._stop_shards(list(self.shards))
        await self.app.stop()
        await self._offsets.close()

    def crash(self) -> BaseException | None:
        """Why this worker can't go on: the Faust app has crashed, or state or topics refuse this deployment."""
        reason: BaseException | None = self.app.crash_reason
        return (
            reason
            or self._refused
            or next((shard.refused for shard in self.shards.values() if shard.refused is not None), None)
        )

    async def crashed(self) -> None:
        """Return when this worker can't go on."""
        while self.crash() is None:
            self._set_apart()
            await asyncio.sleep(_CRASH_LOOK_S)

    def _set_apart(self) -> None:
        """Once all shards run, keep what they restored out of the garbage collector's sight: it would stop everything
        for a second at a time to walk through it. Whenever one begins anew, what it left is collected before."""
        lives = {key: shard.lives for key, shard in self.shards.items() if shard.state is TaskState.RUNNING}
        if len(lives) == len(self.shards) and lives != self._apart:
            self._apart = lives
            gc.unfreeze()
            gc.collect()
            gc.freeze()

    # Assignment

    async def _on_assigned(self, app: faust.App, assigned: Iterable[TopicPartition], **_: Any) -> None:
        owned = {(each.topic, each.partition) for each in assigned}
        await self._stop_shards(list(self.shards))  # none are left after a revocation
        self._unserved = []
        if beyond := [each for each in owned if each[1] >= self.settings.partitions]:
            self._refuse(beyond[0][0], beyond[0][1] + 1)
            return
        for spec in self.agents:
            for partition in sorted({partition for topic, partition in owned if topic in spec.topics}):
                missing = [topic for topic in spec.topics if (topic, partition) not in owned]
                if missing:
                    # Another worker may have them: topics with unequal partition counts, or one does not exist yet.
                    self._unserved.append({"agent": spec.name, "partition": partition, "missing": missing})
                    self._logger.error("not all inputs here", agent=spec.name, partition=partition, missing=missing)
                else:
                    self._start_shard(spec, partition)
        self.assigned = True
        self._logger.info("assigned", shards=len(self.shards))

    def _refuse(self, topic: str, found: int) -> None:
        """Keys would be looked for where they are not. What is there was written by the number of before."""
        self._refused = WorkerRefused(
            f"{topic} has {found} partitions, SLA_PARTITIONS is {self.settings.partitions}: it must be the number that "
            "all topics were created with; topics that were enlarged since have to be created anew"
        )

    async def _on_revoked(self, app: faust.App, revoked: Iterable[TopicPartition], **_: Any) -> None:
        gone = {each.partition for each in revoked}
        self.assigned = False
        await self._stop_shards([key for key in self.shards if key[1] in gone])

    def _start_shard(self, spec: AgentSpec, partition: int) -> None:
        settings = self.settings
        shard = StreamTask(
            spec.name,
            partition,
            spec.topics,
            spec.processor,
            log=KafkaLog(settings, self._offsets, spec.name, partition, spec.topics),
            feed=self,
            clock=self._clock,
            limits=TransactionLimits(
                records=settings.max_batch, timers=settings.max_acts, seconds=settings.max_batch_s
            ),
            pace=spec.pace,
            turns=self._turns[spec.name],
            max_clock_skew_us=settings.max_clock_skew_us,
            queue_records=settings.queue_records,
            refence_after_s=settings.session_timeout_ms / 1_000,
        )
        self.shards[spec.name, partition] = shard
        shard.start()

    async def _stop_shards(self, keys: Iterable[tuple[str, int]]) -> None:
        shards = [self.shards.pop(key) for key in keys]
        await asyncio.gather(*(shard.stop() for shard in shards))
        if shards:
            self._reopen()

    # Feed: what shards ask of the consumer that they share

    async def rewind(self, topics: Iterable[str], partition: int) -> None:
        """Two agents may read one partition: start where the one further behind wants it; the other drops the rest."""
        offsets: dict[TopicPartition, int] = {}
        for topic in topics:
            wanted = [offset for shard in self._readers(topic, partition) if (offset := shard.wants(topic)) is not None]
            if wanted:
                offsets[TopicPartition(topic, partition)] = min(wanted)
        await self._consumer.start_at(offsets)
        self._reopen()

    def flow(self, topics: Iterable[str], partition: int) -> None:
        """Recompute which partitions are read."""
        self._reopen()

    def _reopen(self) -> None:
        opened: set[TopicPartition] = set()
        closed: set[TopicPartition] = set()
        for shard in self.shards.values():
            for topic in shard.topics:
                if shard.wants(topic) is not None:
                    (opened if shard.accepts(topic) else closed).add(TopicPartition(topic, shard.partition))
        self._consumer.open_only(frozenset(opened - closed))

    def _readers(self, topic: str, partition: int) -> list[StreamTask]:
        found = (self.shards.get((spec.name, partition)) for spec in self.agents if topic in spec.topics)
        return [shard for shard in found if shard is not None]

    def _out_of_range(self, partition: TopicPartition, offset: int) -> None:
        for shard in self._readers(partition.topic, partition.partition):
            shard.interrupt(
                InputLost(
                    agent=shard.agent,
                    partition=shard.partition,
                    topic=partition.topic,
                    applied=offset,
                    log_start=None,
                    log_end=None,
                )
            )

    @property
    def _consumer(self) -> BatchConsumer:
        consumer: BatchConsumer = self.app.consumer
        return consumer

    def unready(self) -> list[dict[str, object]]:
        """Why this worker is not ready; empty when it is."""
        reasons: list[dict[str, object]] = [] if self.assigned else [{"reason": "no partitions assigned"}]
        reasons += self._unserved
        reasons += [
            {
                "agent": shard.agent,
                "partition": shard.partition,
                "state": shard.state.value,
                "reason": shard.reason or shard.waiting,
            }
            for shard in self.shards.values()
            if shard.state is not TaskState.RUNNING or shard.waiting
        ]
        return reasons
