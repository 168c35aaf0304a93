"""One partition of one agent, exactly once: state, input position and outputs move in one transaction or not at all.

On assignment a task

1. fences the previous owner (`TaskLog.fence`);
2. replays its changelog and checks the offsets (`recover`);
3. seeks to the offsets of its checkpoint (`TaskInput.begin`);
4. applies records and commits (`RunLoop.run`).

Any failure discards all state in memory and starts again at 1.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from time import perf_counter
from typing import cast

from streams.kafka.cancellation import CLIENT_ENDED, cancelled_by_us, end_of
from streams.kafka.unexplained import unexplained
from streams.runtime.errors import (
    OffsetsDiffer,
    RecordFailed,
    TaskError,
    TaskFenced,
    TaskHalted,
    TaskInterrupted,
    TimersFailed,
    TimestampsRefused,
    TopicRecreated,
    WriteRefused,
)
from streams.runtime.interfaces import Batch, Feed, TaskLog, Transactions
from streams.runtime.ownership import PrefixOwner, claim_for
from streams.runtime.processor import Processor, ReportsProblems
from streams.runtime.recovery import Recovered, check_topic_ids, recover
from streams.runtime.retry_policy import RetryPolicy
from streams.runtime.run_loop import AT_ONCE, CommitInterval, RunLoop
from streams.runtime.scheduler import Scheduler
from streams.runtime.stream_time import StreamTime
from streams.runtime.task_input import TaskInput
from streams.runtime.task_status import TaskState, TaskStatus
from streams.runtime.timestamps import TimestampGuard
from streams.runtime.transaction_builder import TransactionBuilder, TransactionLimits
from streams.time_source import TimeSource, pause

__all__ = ["StreamTask", "TaskState"]


class StreamTask(TaskStatus):
    """Runs a processor over its partition of the agent's topics. Created at assignment, stopped at revocation."""

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
        commit_interval: CommitInterval = AT_ONCE,
        scheduler: Scheduler | None = None,
        max_clock_skew_us: int = 0,
        queue_records: int = 12_000,
        queue_bytes: int = 16 * 1024 * 1024,
        refence_after_s: float = 10.0,
        app_id: str | None = None,
        prefix_owner: PrefixOwner | None = None,
        timestamps: TimestampGuard | None = None,
        stopwatch: Callable[[], float] = perf_counter,
    ) -> None:
        super().__init__(agent, partition)
        self.topics = topics
        self._make = make
        self._log = log
        self._clock = clock
        self._limits = limits
        self._commit_interval = commit_interval
        self._scheduler = scheduler or Scheduler()
        self._skew = max_clock_skew_us
        self._refence_after_s = refence_after_s
        self._app_id = app_id
        self._prefix_owner = prefix_owner
        self._timestamps = timestamps or TimestampGuard(clock, 0, self._labels)
        self._stopwatch = stopwatch
        self._input = TaskInput(feed, topics, partition, queue_records, queue_bytes)
        self._retry_policy = RetryPolicy(limits.attempts)
        self._offsets_differed = False
        """The last recovery found different offsets: if the next one does too, no concurrent commit explains them."""
        self._limit_timestamps = False
        """A broker's clock was so far ahead that Kafka takes no record of this stream time: it would take none until
        then."""
        self._topic_ids: Mapping[str, bytes] = {}
        self._processor: Processor | None = None
        self.committed_offsets: Mapping[str, int] = {}
        """Per input topic, the next offset as of the last transaction that this task has committed."""
        self._run_loop: RunLoop | None = None
        self._wake = asyncio.Event()
        self._stop = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._transactions: Transactions | None = None

    # Called by the task manager

    def start(self) -> None:
        """Begin to recover, in the background."""
        self._enter(TaskState.RECOVERING, "starting")
        self._running = asyncio.create_task(self._run(), name=f"task-{self.agent}-{self.partition}")

    async def stop(self) -> None:
        """Finish the transaction in flight, then release the partition."""
        self._stop.set()
        self._wake.set()
        running = self._running
        if running is not None:
            if self.state is not TaskState.RUNNING:
                running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        await self._discard()
        self._enter(TaskState.STOPPED, "stopped")

    def offer(self, batch: Batch) -> None:
        """Take a batch from the feed. Before the task is ready the batch is held; one that leaves a gap is read
        again."""
        if self.state in (TaskState.HALTED, TaskState.FENCED, TaskState.STOPPED):
            return
        if not self._input.offer(self._timestamps.check(batch)):
            self._logger.info("batch_out_of_sequence", topic=batch.topic, offset=batch.start)
        self._wake.set()

    def interrupt(self, error: TaskError) -> None:
        """End the run loop with an error that the feed found."""
        if self._run_loop is not None and self.state is TaskState.RUNNING:
            self._run_loop.interrupt(error)

    def wants(self, topic: str) -> int | None:
        """The next offset to deliver of `topic`; None while the task does not read."""
        return self._input.queue.received(topic) if self.state is TaskState.RUNNING else None

    def applied(self) -> Mapping[str, int]:
        """Per input topic, the offset up to which everything is applied; empty while the task does not run."""
        return self._input.queue.positions() if self.state is TaskState.RUNNING else {}

    def accepts(self, topic: str) -> bool:
        """Whether the queue has room."""
        return self._input.queue.accepts(topic)

    @property
    def ended(self) -> BaseException | None:
        """Why nothing runs any more although nobody has stopped the task; None while all is well."""
        running = self._running
        if running is None or not running.done() or self._stop.is_set():
            return None
        return end_of(running)

    # Recovery and run loop

    async def _run(self) -> None:
        while not self._stop.is_set():
            match await self._run_once():
                case TaskFenced() as error:
                    await self._give_up(TaskState.FENCED, error)
                    # A zombie learns of the rebalance within this time and is stopped. A task that still owns the
                    # partition then was fenced by its own transaction's timeout, and starts again.
                    await pause(self._clock, self._stop, self._refence_after_s)
                case WriteRefused() as error:
                    await self._on_write_refused(error)
                case TaskHalted() as error:
                    await self._halt(error)
                case TimestampsRefused() as error:
                    await self._on_timestamps_refused(error)
                case RecordFailed() as error:
                    await self._on_record_failed(error)
                case TimersFailed() as error:
                    await self._on_timers_failed(error)
                case Exception() as error:
                    await self._on_fault(error)

    async def _run_once(self) -> Exception | None:
        """Recover and run; returns what ended it."""
        try:
            await (await self._recover()).run()
        except asyncio.CancelledError:
            if cancelled_by_us():
                raise
            return TaskInterrupted(CLIENT_ENDED)
        except Exception as error:
            return error
        return None

    async def _recover(self) -> RunLoop:
        if self.state is not TaskState.HALTED:  # after a refused write it stays so, until it runs: a person is needed
            before = f"; interrupted before: {self.interrupted}" if self.interrupted else ""
            self._enter(TaskState.RECOVERING, f"replaying the changelog{before}")
        started = perf_counter()
        transactions = self._transactions = await self._log.fence()
        claim = claim_for(self._app_id, self._log, transactions, self._prefix_owner)
        try:
            recovered = await recover(self._log, self._make, self.agent, self.partition, self.topics, claim=claim)
        except OffsetsDiffer as error:
            if self._offsets_differed:
                raise
            # A newer owner may have committed between our reads of the changelog and of the group's offsets.
            self._offsets_differed = True
            raise TaskFenced(str(error), agent=self.agent, partition=self.partition) from error
        self._offsets_differed = False
        self._input.queue.begin(recovered.checkpoint.offsets)
        self._retry_policy.passed(recovered.checkpoint.offsets)
        run_loop = self._run_loop = self._make_run_loop(recovered, transactions)
        self._topic_ids = recovered.topic_ids
        self._processor = recovered.processor
        self.restarts += 1
        self._retry_policy.running()
        if not self._retry_policy.refused:
            self._allowed()
        self._enter(TaskState.RUNNING, "")
        await self._input.begin()
        self._entered_running(recovered.checkpoint.offsets, perf_counter() - started)
        return run_loop

    def look_for_problems(self) -> None:
        """Ask the processor what keeps the worker from being ready."""
        processor = self._processor
        running = self.state is TaskState.RUNNING and isinstance(processor, ReportsProblems)
        self.problems = cast(ReportsProblems, processor).problems(self._clock.now()) if running else []

    def check_topics(self, topic_ids: Mapping[str, bytes]) -> None:
        """End the run loop if an input topic or the changelog has been created anew since the task recovered: rows
        that it wrote from then on would be all of its state after a restart."""
        try:
            check_topic_ids(self._topic_ids, topic_ids, agent=self.agent, partition=self.partition)
        except TopicRecreated as error:
            self.interrupt(error)

    def _make_run_loop(self, recovered: Recovered, transactions: Transactions) -> RunLoop:
        builder = TransactionBuilder(
            self.agent,
            self.partition,
            recovered.processor,
            self._input.queue,
            self._limits,
            time=recovered.checkpoint.time,
            failed=self._retry_policy.failed,
            failed_subjects=self._retry_policy.subjects,
            backlog=recovered.ends,
            stopwatch=self._stopwatch,
        )
        return RunLoop(
            builder,
            transactions,
            StreamTime(self._log, builder, self._clock, self._skew, self._wake),
            clock=self._clock,
            wake=self._wake,
            stop=self._stop,
            commit_interval=self._commit_interval,
            scheduler=self._scheduler,
            labels=self._labels,
            update_flow=self._input.update_flow,
            on_committed=self._on_committed,
            on_waiting=self._on_waiting,
            restore_offsets=recovered.offsets_missing,
            topic_ids=recovered.checkpoint.topic_ids,
            limit_timestamps=self._limit_timestamps,
        )

    def _on_committed(self, fired: int, offsets: Mapping[str, int], quarantined: Iterable[str]) -> None:
        self.committed_offsets = offsets
        self.timers_fired += fired
        self.interrupted = ""
        self._retry_policy.committed(fired, offsets, quarantined)
        if not self._retry_policy.refused:
            self._allowed()

    def look_for_refusals(self) -> None:
        """End the halt if what Kafka refused is written and nothing is left to write."""
        if self.refusal and self.state is TaskState.RUNNING and self._run_loop is not None and self._run_loop.idle:
            self._retry_policy.idle(self._input.queue.positions())
            if not self._retry_policy.refused:
                self._allowed()

    # Failures: all state in memory is discarded

    async def _on_record_failed(self, error: RecordFailed) -> None:
        retry = self._retry_policy.with_record(error)
        self._logger.error("decision_failed", topic=error.topic, offset=error.offset, exc_info=error.__cause__)
        await (self._give_up(TaskState.RECOVERING, error) if retry else self._halt(error))

    async def _on_timers_failed(self, error: TimersFailed) -> None:
        """R27: only the named subject is quarantined, after bounded retries; without a subject the task itself is at
        fault."""
        if error.subject is None:
            await self._on_fault(error)
            return
        retry = self._retry_policy.with_subject(error.subject, str(error))
        self._logger.error("timer_decision_failed", subject=error.subject, exc_info=error.__cause__)
        await (self._give_up(TaskState.RECOVERING, error) if retry else self._halt(error))

    async def _on_write_refused(self, error: WriteRefused) -> None:
        applied = {} if self._run_loop is None else self._input.queue.positions()
        await self._give_up(TaskState.HALTED, error)
        await pause(self._clock, self._stop, self._retry_policy.with_refusal(applied))

    async def _on_timestamps_refused(self, error: TimestampsRefused) -> None:
        """A broker's clock that was ahead is gone with the limit. What is refused then is behind the broker's clock, or
        this machine's clock is wrong: no attempt changes that, so a person is needed."""
        if not self._limit_timestamps:
            self._limit_timestamps = True
            await self._on_fault(error)
            return
        reason = (
            f"Kafka refuses what is written: {error}; the topics of this deployment must not have "
            "message.timestamp.before.max.ms, and the clocks of brokers and workers must agree"
        )
        error.__traceback__ = error.__cause__ = error.__context__ = None
        await self._on_write_refused(WriteRefused(reason, agent=self.agent, partition=self.partition))

    async def _on_fault(self, error: Exception) -> None:
        backoff_s = self._retry_policy.with_fault(error)
        again = str(error) == self.interrupted  # Kafka is tried without end: one traceback is enough
        unexpected = not isinstance(error, TaskInterrupted) or (unexplained(error.__cause__) and not again)
        self._logger.warning("task_interrupted", error=repr(error), retry_in_s=backoff_s, exc_info=unexpected and error)
        if backoff_s is None:
            await self._halt(error)
        else:
            await self._give_up(TaskState.RECOVERING, error)
            await pause(self._clock, self._stop, backoff_s)

    async def _halt(self, error: Exception) -> None:
        await self._give_up(TaskState.HALTED, error)
        await self._stop.wait()

    async def _give_up(self, state: TaskState, error: Exception) -> None:
        self._enter_failed(state, error)
        # Its frames, and those of what led to it, have all state of the task, until the next attempt or longer.
        error.__traceback__ = error.__cause__ = error.__context__ = None
        self._input.reset()
        await self._discard()

    async def _discard(self) -> None:
        self._run_loop = self._processor = None
        self.problems = []
        transactions, self._transactions = self._transactions, None
        if transactions is not None:
            await transactions.discard()
