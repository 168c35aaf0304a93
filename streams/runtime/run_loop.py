"""The run loop of a task, from restored state to the first failure or to the stop.

One pass of the loop:

1. Collect the commit in flight, if it has ended.
2. Apply queued records to the open transaction for one slice.
3. Begin its commit, if it is due and no other commit is in flight, after the processor has written what comes last.
4. Otherwise fire due timers, or wait for records, a timer, or the end of the commit.

State changes in place while the previous transaction is still committing. That is safe because any failure ends the
loop and discards all state in memory. An idle task commits at once; under load, the records that arrive during a commit
form the next transaction, up to the limits of count, bytes and time. `CommitInterval` spaces commits out, because each
costs broker and worker some milliseconds however little it writes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Final

from streams.runtime import metrics
from streams.runtime.checkpoint import Checkpoint, encode_checkpoint
from streams.runtime.errors import RecordFailed, TaskError, TimersFailed
from streams.runtime.interfaces import Transactions, Write
from streams.runtime.processor import RetryLater
from streams.runtime.scheduler import Scheduler
from streams.runtime.stream_time import StreamTime
from streams.runtime.transaction_builder import (
    BACKLOG_AGE,
    BACKLOG_SLICE_S,
    SLICE_S,
    OpenTransaction,
    TransactionBuilder,
)
from streams.time_source import TimeSource


@dataclass(frozen=True, slots=True)
class CommitInterval:
    """Microseconds from the end of one commit to the begin of the next."""

    per_record: int = 0
    """At least this for each record or timer of the previous transaction: the higher the rate, the more records one
    commit should cover."""
    maximum: int = 0
    """The most that `per_record` adds up to; no less than one `per_record`."""
    offsets_only: int = 0
    """At least this when the transaction would write nothing but offsets."""


AT_ONCE: Final = CommitInterval()
#: Microseconds after which an open transaction is committed although more records are queued; not with a backlog.
MAX_OPEN: Final = 100_000


def earliest(*instants: int | None) -> int | None:
    """The first instant; None if all are None."""
    return min((instant for instant in instants if instant is not None), default=None)


class RunLoop:
    """Applies records and commits transactions, with at most one commit in flight."""

    def __init__(
        self,
        builder: TransactionBuilder,
        transactions: Transactions,
        stream_time: StreamTime,
        *,
        clock: TimeSource,
        wake: asyncio.Event,
        stop: asyncio.Event,
        commit_interval: CommitInterval,
        scheduler: Scheduler,
        labels: tuple[str, str],
        update_flow: Callable[[], None],
        on_committed: Callable[[int, Mapping[str, int], Iterable[str]], None],
        on_waiting: Callable[[RetryLater | None], None],
        restore_offsets: bool,
        topic_ids: Mapping[str, bytes],
        limit_timestamps: bool = False,
    ) -> None:
        """With `limit_timestamps` no record is stamped ahead of `clock`."""
        self._topic_ids = topic_ids
        self._limit_timestamps = limit_timestamps
        self._builder = builder
        self._transactions = transactions
        self._stream_time = stream_time
        self._clock = clock
        self._wake = wake
        self._stop = stop
        self._commit_interval = commit_interval
        self._scheduler = scheduler
        self._commit: asyncio.Task[None] | None = None
        self._last_commit_end = 0
        self._interval = 0
        """Microseconds to leave between the last commit and the next."""
        self._labels = labels
        self._update_flow = update_flow
        self._on_committed = on_committed
        self._on_waiting = on_waiting
        self._waiting: RetryLater | None = None
        self._restore_offsets = restore_offsets
        self._interrupted: TaskError | None = None
        self.idle = False
        """All input that was received is applied and committed."""

    def interrupt(self, error: TaskError) -> None:
        """End the loop with `error`."""
        self._interrupted = error
        self._wake.set()

    async def run(self) -> None:
        """Run until the stop; raises the error that ended the loop before it."""
        transaction = OpenTransaction(forced=self._restore_offsets)
        self._builder.quarantine_failed(transaction)
        try:
            while not self._stop.is_set():
                self._wake.clear()
                if self._interrupted is not None:
                    raise self._interrupted
                self._collect_commit()  # 1
                if transaction.empty:
                    transaction.opened = self._clock.now()
                self.idle = False
                blocked = await self._apply_slice(transaction)  # 2
                commit_at = self._commit_at(transaction) if self._commit is None else None
                may_commit = commit_at is not None and commit_at <= self._clock.now()
                more = not transaction.full and blocked is None and self._builder.ready()
                if more and not (may_commit and self._open_too_long(transaction)):
                    continue
                if may_commit:  # 3
                    await self._finish(transaction)
                    self._commit = self._begin_commit(transaction)
                    transaction = OpenTransaction()
                elif transaction.full:  # 4
                    await self._clock.wait(self._wake, commit_at)
                elif not self._stream_time.advance(blocked, transaction):
                    self.idle = transaction.empty and self._commit is None and self._builder.queue.head() is None
                    await self._clock.wait(self._wake, earliest(commit_at, self._stream_time.wake_at()))
                else:
                    async with self._scheduler.slice():  # timers fired: let other tasks run before more of them do
                        pass
        except (RecordFailed, TimersFailed) as error:
            # The failed decision used state that is still committing. If that commit fails, the attempt does not count.
            if self._commit is not None:
                await asyncio.gather(self._commit, return_exceptions=True)
                if not self._commit.cancelled() and (unwritten := self._commit.exception()) is not None:
                    raise unwritten from error
            raise
        finally:
            self._watch_waiting(None)
            self._stream_time.close()
            commit, self._commit = self._commit, None  # an error of it has frames, and these this loop
            if commit is not None:
                # The next run loop must not begin while a commit of this one is in flight.
                await asyncio.gather(commit, return_exceptions=True)

    def _collect_commit(self) -> None:
        """Forget the commit in flight if it has ended; raises its error."""
        if self._commit is not None and self._commit.done():
            self._commit.result()
            self._commit = None
            self._last_commit_end = self._clock.now()

    async def _apply_slice(self, transaction: OpenTransaction) -> int | None:
        """Apply queued records for one slice; what `TransactionBuilder.step` returns."""
        blocked = None
        if not transaction.full and self._builder.ready():
            async with self._scheduler.slice():
                blocked = self._builder.step(transaction, BACKLOG_SLICE_S if self._has_backlog() else SLICE_S)
            self._update_flow()
        self._watch_waiting(self._builder.waiting)
        return blocked

    async def _finish(self, transaction: OpenTransaction) -> None:
        """Write what comes at the end of a transaction, slice by slice: it may be about thousands of incidents."""
        finished = transaction.offsets_only or not self._builder.finishes
        while not finished:
            async with self._scheduler.slice():
                finished = self._builder.finish(transaction)

    def _watch_waiting(self, waiting: RetryLater | None) -> None:
        """Retry a waiting record when its answer arrives, not sooner unless something else wakes the loop."""
        if waiting is not None and (self._waiting is None or waiting.answered is not self._waiting.answered):
            wake = self._wake  # the answer may come long after this loop has ended
            waiting.answered.add_done_callback(lambda _: wake.set())
        if (waiting is None) is not (self._waiting is None):
            self._on_waiting(waiting)
        self._waiting = waiting

    def _open_too_long(self, transaction: OpenTransaction) -> bool:
        """Whether to commit although more records are queued."""
        return self._clock.now() - transaction.opened >= MAX_OPEN and not self._has_backlog()

    def _has_backlog(self) -> bool:
        """Whether queued records are so old that throughput matters more than latency."""
        return self._clock.now() - self._builder.time >= BACKLOG_AGE

    def _commit_at(self, transaction: OpenTransaction) -> int | None:
        """The instant from which `transaction` may be committed; None while there is nothing to commit."""
        if transaction.empty:
            return None
        if transaction.forced or transaction.full:
            return 0
        self._last_commit_end = min(self._last_commit_end, self._clock.now())  # a wall clock can be set back
        interval = self._commit_interval.offsets_only if transaction.offsets_only else self._interval
        return self._last_commit_end + interval

    def _begin_commit(self, transaction: OpenTransaction) -> asyncio.Task[None]:
        builder, interval = self._builder, self._commit_interval
        checkpoint = Checkpoint(builder.queue.positions(), builder.time, self._topic_ids)
        stamp = min(builder.time, self._clock.now()) if self._limit_timestamps else builder.time
        write = Write(transaction.effects, encode_checkpoint(checkpoint), checkpoint.offsets, stamp // 1_000)
        self._interval = min(
            interval.per_record * (transaction.records + transaction.fired), max(interval.per_record, interval.maximum)
        )
        commit = asyncio.create_task(self._write(write, transaction))
        commit.add_done_callback(lambda _: self._wake.set())
        return commit

    async def _write(self, write: Write, transaction: OpenTransaction) -> None:
        started = perf_counter()
        await self._transactions.commit(write)
        metrics.COMMIT_SECONDS.labels(self._labels[0]).observe(perf_counter() - started)
        self._measure(transaction)
        metrics.RECORDS.labels(*self._labels).inc(transaction.records)
        metrics.TIMERS.labels(*self._labels).inc(transaction.fired)
        metrics.WRITES.labels(*self._labels).inc(len(write.effects.sends) + len(write.effects.rows))
        metrics.QUEUED.labels(*self._labels).set(self._builder.queue.size)
        self._on_committed(transaction.fired, write.offsets, transaction.quarantined)

    def _measure(self, transaction: OpenTransaction) -> None:
        """Observe how long a committed transaction took, since when it began, and since what led to it."""
        agent, now = self._labels[0], self._clock.now()
        for histogram, since in (
            (metrics.TRANSACTION_SECONDS, transaction.opened),
            (metrics.ARRIVAL_TO_COMMIT_SECONDS, transaction.arrived),
            (metrics.TIMER_LAG_SECONDS, transaction.due),
        ):
            if since is not None:  # clocks of brokers and workers differ a little
                histogram.labels(agent).observe(max(now - since, 0) / 1_000_000)
