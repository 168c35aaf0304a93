"""One partition of one agent, exactly once: state, input position and outputs move in one transaction or not at all.

Order on assignment: fence the former owner, replay the changelog, check the offsets, seek, process (life.py). Any
failure throws all that is in memory away and starts a new life from the changelog.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from enum import StrEnum
from time import perf_counter

import structlog

from streams.runtime import metrics
from streams.runtime.errors import (
    OffsetsDiffer,
    RecordFailed,
    TaskError,
    TaskFenced,
    TaskHalted,
    TaskInterrupted,
    TimersFailed,
    WorkerRefused,
)
from streams.runtime.interfaces import Batch, Feed, TaskLog, Transactions
from streams.runtime.processor import Processor, RetryLater
from streams.runtime.record_queue import RecordQueue
from streams.runtime.recovery import recover
from streams.runtime.retry_policy import RetryPolicy
from streams.runtime.run_loop import AT_ONCE, CommitInterval, RunLoop
from streams.runtime.scheduler import Scheduler
from streams.runtime.stream_time import StreamTime
from streams.runtime.transaction_builder import TransactionBuilder, TransactionLimits
from streams.time_source import TimeSource


class TaskState(StrEnum):
    """What a shard is doing."""

    RECOVERING = "recovering"
    RUNNING = "running"
    FENCED = "fenced"
    HALTED = "halted"
    STOPPED = "stopped"


class StreamTask:
    """Runs a processor over its partition of the agent's input topics. Made at assignment, stopped at revocation."""

    def __init__(
        self,
        agent: str,
        partition: int,
        topics: tuple[str, ...],
        make: Callable[[int], Processor],
        *,
        log: TaskLog,
        feed: Feed,
        clock: TimeSource,
        limits: TransactionLimits,
        pace: CommitInterval = AT_ONCE,
        turns: Scheduler | None = None,
        max_clock_skew_us: int = 0,
        queue_records: int = 12_000,
        refence_after_s: float = 10.0,
        stopwatch: Callable[[], float] = perf_counter,
    ) -> None:
        self.agent = agent
        self.partition = partition
        self.topics = topics
        self.state = TaskState.RECOVERING
        self.reason = "not started"
        self.refused: WorkerRefused | None = None
        self.waiting = ""
        """What the next record waits for outside Kafka, while the shard runs."""
        self.lives = 0
        """How often it has come to run."""
        self._make = make
        self._log = log
        self._feed = feed
        self._clock = clock
        self._limits = limits
        self._pace = pace
        self._turns = turns or Scheduler()
        self._skew = max_clock_skew_us
        self._refence_after_s = refence_after_s
        self._stopwatch = stopwatch
        self._inbox = RecordQueue(topics, queue_records)
        self._patience = RetryPolicy(limits.attempts)
        self._differed = False
        """The last recovery found offsets that differ: if the next one does too, nobody else made them."""
        self._life: RunLoop | None = None
        self._wake = asyncio.Event()
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._transactions: Transactions | None = None
        self._rewinds: set[asyncio.Task[None]] = set()
        self._labels = (agent, str(partition))
        self._logger = structlog.get_logger("streams.runtime.task").bind(agent=agent, partition=partition)

    # What the host calls

    def start(self) -> None:
        """Begin to recover, in the background."""
        self._enter(TaskState.RECOVERING, "starting")
        self._task = asyncio.create_task(self._live(), name=f"shard-{self.agent}-{self.partition}")

    async def stop(self) -> None:
        """Finish the transaction in flight, then let go."""
        self._stop.set()
        self._wake.set()
        task = self._task
        if task is not None:
            if self.state is not TaskState.RUNNING:
                task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await self._discard()
        self._enter(TaskState.STOPPED, "stopped")

    def offer(self, batch: Batch) -> None:
        """Take a batch from the feed. Before the shard is ready it is held; what does not follow on is read again."""
        if self.state in (TaskState.HALTED, TaskState.FENCED, TaskState.STOPPED):
            return
        if not self._inbox.offer(batch):
            self._logger.info("batch does not follow on", topic=batch.topic, offset=batch.start)
            self._rewind([batch.topic])
        self._relieve([batch.topic])
        self._wake.set()

    def interrupt(self, error: TaskError) -> None:
        """The feed found out something that this shard cannot go on with."""
        if self._life is not None and self.state is TaskState.RUNNING:
            self._life.interrupt(error)

    def wants(self, topic: str) -> int | None:
        """The next offset to deliver of `topic`; None while the shard does not read."""
        return self._inbox.received(topic) if self.state is TaskState.RUNNING else None

    def accepts(self, topic: str) -> bool:
        """Is there room in the queue?"""
        return self._inbox.accepts(topic)

    # Life

    async def _live(self) -> None:
        while not self._stop.is_set():
            try:
                life = await self._recover()
                await life.run()
            except TaskFenced as error:
                await self._give_up(TaskState.FENCED, error)
                # A zombie learns of the rebalance within this time and is stopped. Whoever is still the owner then was
                # fenced by its own transaction's timeout, and starts again.
                await self._pause(self._refence_after_s)
            except TaskHalted as error:
                await self._give_up(TaskState.HALTED, error)
                await self._stop.wait()
            except RecordFailed as error:
                await self._on_record_failed(error)
            except TimersFailed as error:
                await self._on_timers_failed(error)
            except Exception as error:
                await self._on_fault(error)

    async def _recover(self) -> RunLoop:
        self._enter(TaskState.RECOVERING, "replaying the changelog")
        started = perf_counter()
        transactions = self._transactions = await self._log.fence()
        try:
            found = await recover(self._log, self._make, self.agent, self.partition, self.topics)
        except OffsetsDiffer as error:
            if self._differed:
                raise
            # Whoever fenced us meanwhile may have committed between our reading the one and the other.
            self._differed = True
            raise TaskFenced(str(error), agent=self.agent, partition=self.partition) from error
        self._differed = False
        self._inbox.begin(found.applied.offsets)
        self._patience.passed(found.applied.offsets)
        fold = TransactionBuilder(
            self.agent,
            self.partition,
            found.processor,
            self._inbox,
            self._limits,
            time=found.applied.time,
            failed=self._patience.failed,
            failed_subjects=self._patience.subjects,
            backlog=found.ends,
            stopwatch=self._stopwatch,
        )
        life = self._life = RunLoop(
            fold,
            transactions,
            StreamTime(self._log, fold, self._clock, self._skew, self._wake),
            clock=self._clock,
            wake=self._wake,
            stop=self._stop,
            pace=self._pace,
            turns=self._turns,
            labels=self._labels,
            relieve=self._relieve_all,
            on_committed=self._patience.committed,
            on_waiting=self._on_waiting,
            restore_offsets=found.offsets_missing,
        )
        self.lives += 1
        self._enter(TaskState.RUNNING, "")
        await self._feed.rewind(self.topics, self.partition)
        seconds = perf_counter() - started
        metrics.RECOVERY_SECONDS.labels(*self._labels).set(seconds)
        self._logger.info("shard ready", offsets=found.applied.offsets, seconds=round(seconds, 3))
        return life

    # Failure: everything in memory goes

    async def _on_record_failed(self, error: RecordFailed) -> None:
        again = self._patience.with_record(error)
        self._logger.error("decision failed", topic=error.topic, offset=error.offset, exc_info=error.__cause__)
        await self._give_up(TaskState.RECOVERING if again else TaskState.HALTED, error)
        if not again:
            await self._stop.wait()

    async def _on_timers_failed(self, error: TimersFailed) -> None:
        """R27: a named subject alone is set aside after bounded retries; without one it is our own fault."""
        if error.subject is None:
            await self._on_fault(error)
            return
        again = self._patience.with_subject(error.subject, str(error))
        self._logger.error("decision on a timer failed", subject=error.subject, exc_info=error.__cause__)
        await self._give_up(TaskState.RECOVERING if again else TaskState.HALTED, error)
        if not again:
            await self._stop.wait()

    async def _on_fault(self, error: Exception) -> None:
        backoff_s = self._patience.with_fault(error)
        ours = not isinstance(error, TaskInterrupted)
        self._logger.warning("shard interrupted", error=repr(error), again_in_s=backoff_s, exc_info=ours)
        await self._give_up(TaskState.HALTED if backoff_s is None else TaskState.RECOVERING, error)
        if backoff_s is None:
            await self._stop.wait()
        else:
            await self._pause(backoff_s)

    async def _give_up(self, state: TaskState, error: Exception) -> None:
        metrics.FAILURES.labels(*self._labels, type(error).__name__).inc()
        self._enter(state, str(error))
        if isinstance(error, WorkerRefused):
            self.refused = error
        if state is TaskState.HALTED:
            self._logger.error("shard halted", error=type(error).__name__, reason=str(error))
        elif state is TaskState.FENCED:
            self._logger.warning("shard fenced: another owner has it", reason=str(error))
        self._inbox.reset()
        self._feed.flow(self.topics, self.partition)
        await self._discard()

    async def _discard(self) -> None:
        self._life = None
        transactions, self._transactions = self._transactions, None
        if transactions is not None:
            await transactions.discard()

    async def _pause(self, seconds: float) -> None:
        until = self._clock.now() + int(seconds * 1_000_000)
        while not self._stop.is_set() and self._clock.now() < until:
            await self._clock.wait(self._stop, until)

    # The feed

    def _relieve(self, topics: Iterable[str]) -> None:
        changed = self._inbox.crossed(topics)
        if changed:
            self._feed.flow(changed, self.partition)

    def _relieve_all(self) -> None:
        self._relieve(self.topics)

    def _rewind(self, topics: Iterable[str]) -> None:
        task = asyncio.create_task(self._rewind_now(tuple(topics)))
        self._rewinds.add(task)
        task.add_done_callback(self._rewinds.discard)

    async def _rewind_now(self, topics: tuple[str, ...]) -> None:
        await self._feed.rewind(topics, self.partition)

    def _on_waiting(self, waiting: RetryLater | None) -> None:
        self.waiting = "" if waiting is None else str(waiting)
        metrics.WAITING.labels(*self._labels).set(waiting is not None)
        if waiting is None:
            self._logger.info("shard waits no longer")
        else:
            self._logger.warning("shard waits", reason=self.waiting)

    def _enter(self, state: TaskState, reason: str) -> None:
        for each in TaskState:
            metrics.STATE.labels(*self._labels, each.value).set(each is state)
        self.state = state
        self.reason = reason
