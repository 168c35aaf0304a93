"""Creates and stops tasks as Kafka assigns and revokes partitions, and feeds them from the consumer they share."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterable, Sequence
from dataclasses import replace
from time import perf_counter
from typing import Any

import faust
import structlog
from aiokafka.structs import TopicPartition

from streams.kafka.cancellation import end_of
from streams.runtime import metrics
from streams.runtime.agent_spec import AgentSpec
from streams.runtime.consumer_lag import ConsumerLag
from streams.runtime.errors import GroupStalled, InputLost
from streams.runtime.faust_app import faust_app
from streams.runtime.group_watch import GroupWatch
from streams.runtime.inputs_elsewhere import InputsElsewhere
from streams.runtime.interfaces import Batch
from streams.runtime.kafka_log import KafkaLog, Offsets
from streams.runtime.lasting_failures import LastingFailures
from streams.runtime.ownership import PrefixOwner
from streams.runtime.purge import Purge
from streams.runtime.rebalance_watch import RebalanceWatch
from streams.runtime.scheduler import Scheduler
from streams.runtime.settings import RuntimeSettings
from streams.runtime.task import StreamTask, TaskState
from streams.runtime.timestamps import TimestampGuard
from streams.runtime.topic_watch import TopicWatch
from streams.runtime.transaction_builder import TransactionLimits
from streams.runtime.transport import BatchConsumer
from streams.time_source import SystemTimeSource, TimeSource

_CRASH_POLL_S = 0.5
_TOPICS_POLL_S = 1.0
"""While the worker waits for its topics."""
_TOPICS_WATCH_S = 5.0
"""While it runs."""
_COLLECT_EVERY_S = 60.0
_REBALANCES = 3
"""A worker that waits for an assignment as long as so many rebalances may take is started again."""
_DECIDING_PARTITION = 0
"""Of the first agent: its changelog decides which deployment owns the prefix."""


class TaskManager:
    """The tasks of one worker; `app` is its Faust app. Construct it inside a running event loop.

    All workers on a prefix need the same agent first: who claims partition 0 of its changelog owns the prefix.
    """

    def __init__(self, settings: RuntimeSettings, agents: Sequence[AgentSpec], clock: TimeSource | None = None) -> None:
        self.settings = settings
        self.agents = tuple(agents)
        self.tasks: dict[tuple[str, int], StreamTask] = {}
        self.assigned = False
        self._inputs_elsewhere = InputsElsewhere(settings.app_id)
        self._background: tuple[asyncio.Task[None], ...] = ()
        self._frozen: dict[tuple[str, int], int] = {}
        """How often each task had started when its state was last hidden from the garbage collector."""
        self._frozen_at = perf_counter()
        self._clock = clock or SystemTimeSource()
        self._offsets = Offsets(settings)
        written_by = {spec.name: (*spec.writes, settings.changelog(spec.name)) for spec in self.agents}
        self._lag = ConsumerLag(self._offsets, written_by=written_by)
        self._fetch_failures = LastingFailures("input can't be read", "fetch_failed")
        self._group = GroupWatch(settings.heartbeat_interval_ms / 1_000)
        self._topics = TopicWatch(settings, self.agents, self._offsets)
        self._rebalance = RebalanceWatch(_REBALANCES * settings.rebalance_timeout_ms / 1_000)
        self._stalled: GroupStalled | None = None
        self._prefix_owner = self._make_prefix_owner() if self.agents else None
        scheduler = Scheduler()
        self._schedulers = {spec.name: scheduler.group() if spec.background else scheduler for spec in self.agents}
        self._logger = structlog.get_logger(__name__)
        self.app = self._make_app()

    def _make_app(self) -> faust.App:
        app = faust_app(self.settings, self.agents, self._deliver, self._out_of_range, self._fetch_failures.failed)
        app.on_partitions_assigned.connect(self._on_assigned)
        app.on_partitions_revoked.connect(self._on_revoked)
        return app

    def _make_prefix_owner(self) -> PrefixOwner:
        first = self.agents[0].name
        log = KafkaLog(self.settings, self._offsets, first, _DECIDING_PARTITION, ())
        return PrefixOwner(f"{self.settings.changelog(first)}-{_DECIDING_PARTITION}", log.readable_rows)

    def _deliver(self, agent: str, batch: Batch) -> None:
        task = self.tasks.get((agent, batch.partition))
        if task is not None:
            task.offer(batch)

    async def start(self) -> None:
        """Wait for the topics, then join the group; tasks come with the assignment. The group is not joined when a
        topic has the wrong number of partitions."""
        while not await self._topics.look():
            if self._topics.refused is not None:
                return
            await asyncio.sleep(_TOPICS_POLL_S)
        self._read_legacy_topics()
        purge = Purge(self.agents, self._offsets)
        self._background = (
            asyncio.create_task(self._watch_topics()),
            asyncio.create_task(self._group.keep_looking(self._consumer.group_error)),
            asyncio.create_task(purge.keep_running(self.tasks)),
        )
        self._rebalance.begin()
        await self.app.start()

    async def stop(self) -> None:
        """Finish open transactions, then leave the group."""
        self.assigned = False
        background, self._background = self._background, ()
        for task in background:
            task.cancel()
        self._lag.end()
        if background:
            self._consumer.open_only(frozenset())
        await self._stop_tasks(list(self.tasks))
        if background:
            await self.app.stop()
        await self._offsets.close()

    def _read_legacy_topics(self) -> None:
        """Read the topics of versions before that exist, until an operator deletes them."""
        existing = self._topics.existing
        legacy = {spec.name: tuple(each for each in spec.legacy_topics if each in existing) for spec in self.agents}
        if any(legacy.values()):
            self.agents = tuple(replace(spec, topics=spec.topics + legacy[spec.name]) for spec in self.agents)
            self.app = self._make_app()

    async def _watch_topics(self) -> None:
        """Look for missing and recreated topics, and for problems that processors report; measure the lag."""
        while True:
            await asyncio.sleep(_TOPICS_WATCH_S)
            if await self._topics.look():
                self._rebalance.kafka_answered()
            else:
                self._rebalance.kafka_unavailable()
            if self._fetch_failures.problems() or self._group.problems():
                metrics.TOPICS_UNUSABLE.set(1)
            self._inputs_elsewhere.measure(self._clock.now())
            if self._rebalance.stalled is not None:
                self._stalled = GroupStalled(self._rebalance.stalled)
            for task in self.tasks.values():
                task.check_topics(self._topics.ids)
                task.look_for_problems()
                task.look_for_refusals()
            self._lag.begin(list(self.tasks.values()))

    def crash(self) -> BaseException | None:
        """Why the worker must stop: the Faust app, a task or what runs beside them ended, or state or topics do not fit
        this deployment. Else None."""
        reason: BaseException | None = self.app.crash_reason
        return (
            reason
            or next((end_of(task) for task in self._background if task.done()), None)
            or next((ended for task in self.tasks.values() if (ended := task.ended) is not None), None)
            or self._stalled
            or self._topics.refused
            or next((task.refused for task in self.tasks.values() if task.refused is not None), None)
        )

    async def crashed(self) -> None:
        """Return when the worker must stop."""
        while self.crash() is None:
            self._freeze_restored_state()
            await asyncio.sleep(_CRASH_POLL_S)

    def _freeze_restored_state(self) -> None:
        """Once all tasks run, exclude their state from garbage collection: a full collection would otherwise stop the
        process for a second. After a task restarts, its former state is collected first; once a minute also while
        others do not run, which may be for hours."""
        restarts = {key: task.restarts for key, task in self.tasks.items()}
        run = all(task.state is TaskState.RUNNING for task in self.tasks.values())
        if restarts != self._frozen and (run or perf_counter() - self._frozen_at >= _COLLECT_EVERY_S):
            self._frozen, self._frozen_at = restarts, perf_counter()
            gc.unfreeze()
            gc.collect()
            gc.freeze()

    # Assignment

    async def _on_assigned(self, app: faust.App, assigned: Iterable[TopicPartition], **_: Any) -> None:
        owned = {(each.topic, each.partition) for each in assigned}
        await self._stop_tasks(list(self.tasks))  # none are left after a revocation
        incomplete: list[dict[str, object]] = []
        elsewhere: list[tuple[str, int]] = []
        if beyond := [each for each in owned if each[1] >= self.settings.partitions]:
            self._topics.reject_partition_count(beyond[0][0], beyond[0][1] + 1)
            return
        for spec in self.agents:
            for partition in sorted({partition for topic, partition in owned if topic in spec.topics}):
                topics = tuple(each for each in spec.topics if (each, partition) in owned)
                missing = [each for each in spec.topics if each not in topics and each not in spec.legacy_topics]
                if spec.internal.issuperset(topics) and missing:
                    # A worker of a release before internal topics has the inputs, and does not subscribe to these.
                    elsewhere.append((spec.name, partition))
                    self._logger.warning("inputs_at_earlier_release", agent=spec.name, partition=partition)
                elif missing:
                    # Another worker may own them (unequal partition counts), or the topic does not exist yet.
                    incomplete.append({"agent": spec.name, "partition": partition, "missing": missing})
                    self._logger.error("partitions_incomplete", agent=spec.name, partition=partition, missing=missing)
                else:
                    self._start_task(replace(spec, topics=topics), partition)
        self._inputs_elsewhere.assigned(elsewhere, self._clock.now(), incomplete)
        self.assigned = True
        self._rebalance.end()
        self._logger.info("partitions_assigned", tasks=len(self.tasks))

    async def _on_revoked(self, app: faust.App, revoked: Iterable[TopicPartition], **_: Any) -> None:
        gone = {each.partition for each in revoked}
        self.assigned = False
        self._rebalance.begin()
        began = perf_counter()
        await self._stop_tasks([key for key in self.tasks if key[1] in gone])
        self._logger.info("partitions_revoked", partitions=len(gone), seconds=round(perf_counter() - began, 3))

    def _start_task(self, spec: AgentSpec, partition: int) -> None:
        settings = self.settings
        decides = (spec.name, partition) == (self.agents[0].name, _DECIDING_PARTITION)
        task = StreamTask(
            spec.name,
            partition,
            spec.topics,
            spec.processor,
            log=KafkaLog(settings, self._offsets, spec.name, partition, spec.topics),
            feed=self,
            clock=self._clock,
            limits=TransactionLimits(
                records=settings.max_batch, timers=settings.max_timers, seconds=settings.max_batch_s
            ),
            commit_interval=spec.commit_interval,
            scheduler=self._schedulers[spec.name],
            max_clock_skew_us=settings.max_clock_skew_us,
            queue_records=settings.queue_records,
            queue_bytes=settings.queue_bytes,
            refence_after_s=settings.session_timeout_ms / 1_000,
            app_id=settings.app_id,
            prefix_owner=None if decides else self._prefix_owner,
            timestamps=TimestampGuard(
                self._clock,
                settings.max_future_skew_us,
                (spec.name, str(partition)),
                spec.internal,
                spec.from_agent,
            ),
        )
        self.tasks[spec.name, partition] = task
        task.start()

    async def _stop_tasks(self, keys: Iterable[tuple[str, int]]) -> None:
        tasks = [self.tasks.pop(key) for key in keys]
        try:
            # A task bounds each of its steps by timeouts of Kafka's. Should one not end all the same, a new process is
            # right: it fences the transaction that this one has left open.
            async with asyncio.timeout(_REBALANCES * self.settings.rebalance_timeout_ms / 1_000):
                await asyncio.gather(*(task.stop() for task in tasks))
        except TimeoutError:
            stuck = [task for task in tasks if task.state is not TaskState.STOPPED]
            names = [f"{task.agent}-{task.partition} ({task.state.value})" for task in stuck]
            self._stalled = GroupStalled(f"tasks do not stop: {', '.join(names)}")
        if tasks:
            self._open_partitions()

    # Feed: the tasks share one consumer

    async def rewind(self, topics: Iterable[str], partition: int) -> None:
        """Read from the lowest offset that any task wants: two agents may read one partition, and the one that is ahead
        drops what it has."""
        offsets: dict[TopicPartition, int] = {}
        for topic in topics:
            wanted = [offset for task in self._readers(topic, partition) if (offset := task.wants(topic)) is not None]
            if wanted:
                offsets[TopicPartition(topic, partition)] = min(wanted)
        await self._consumer.start_at(offsets)
        self._open_partitions()

    def flow(self, topics: Iterable[str], partition: int) -> None:
        """Recompute which partitions are read."""
        self._open_partitions()

    def _open_partitions(self) -> None:
        opened: set[TopicPartition] = set()
        closed: set[TopicPartition] = set()
        for task in self.tasks.values():
            for topic in task.topics:
                if task.wants(topic) is not None:
                    (opened if task.accepts(topic) else closed).add(TopicPartition(topic, task.partition))
        self._consumer.open_only(frozenset(opened - closed))

    def _readers(self, topic: str, partition: int) -> list[StreamTask]:
        found = (self.tasks.get((spec.name, partition)) for spec in self.agents if topic in spec.topics)
        return [task for task in found if task is not None]

    def _out_of_range(self, partition: TopicPartition, offset: int) -> None:
        for task in self._readers(partition.topic, partition.partition):
            task.interrupt(
                InputLost(
                    agent=task.agent,
                    partition=task.partition,
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
        """Why the worker is not ready; empty when it is."""
        reasons: list[dict[str, object]] = []
        if self._topics.problem is not None:
            reasons.append(self._topics.problem)
        elif not self.assigned:
            reasons.append({"reason": "no partitions assigned"})
        reasons += self._topics.problems()
        reasons += self._lag.open_transactions.problems()
        reasons += self._lag.stalled.problems()
        reasons += self._fetch_failures.problems() + self._group.problems()
        reasons += self._inputs_elsewhere.problems(self._clock.now())
        reasons += [
            {
                "agent": task.agent,
                "partition": task.partition,
                "state": state.value,
                "reason": reason or task.waiting,
            }
            for task in self.tasks.values()
            for state, reason in [task.reported]
            if state is not TaskState.RUNNING or task.waiting
        ]
        reasons += [
            {"agent": task.agent, "partition": task.partition, "reason": problem}
            for task in self.tasks.values()
            for problem in task.problems
        ]
        return reasons
