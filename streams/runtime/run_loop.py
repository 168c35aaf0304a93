"""One life of a shard: from restored state to the first failure or to the stop.

State changes in place while the transaction before is still committing; that is safe because any failure ends this life
and throws all of it away. Adaptive: an idle shard commits what there is at once; under load, what comes in during a
commit makes the next transaction, up to the limits of count and of time. Between commits there is a rest, for each
costs broker and worker some milliseconds however little is in it; and where nothing follows from what was read (much of
the shared topic is for another agent), the offsets alone can wait for longer.
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
from streams.runtime.transaction_builder import BACKLOG_SLICE_S, SLICE_S, OpenTransaction, TransactionBuilder
from streams.time_source import TimeSource


@dataclass(frozen=True, slots=True)
class CommitInterval:
    """Microseconds from the end of one commit to the begin of the next."""

    rest: int = 0
    """At least, for each record or timer of the transaction before: the more comes, the longer it is worth while to
    wait for more. What comes meanwhile goes into the same transaction."""
    most: int = 0
    """However much was in it; no less than `rest`."""
    silent: int = 0
    """At least, where nothing but offsets is to be written."""


AT_ONCE: Final = CommitInterval()
#: A transaction that has been gathering for so long is committed though more is at hand, unless what is at hand is so
#: old that how fast it is worked off matters more. Microseconds.
GATHERING: Final = 100_000
OLD: Final = 2_000_000


def earliest(*instants: int | None) -> int | None:
    """The first of those that there are."""
    return min((instant for instant in instants if instant is not None), default=None)


class RunLoop:
    """Gathers, folds and commits, one commit in flight."""

    def __init__(
        self,
        fold: TransactionBuilder,
        transactions: Transactions,
        horizon: StreamTime,
        *,
        clock: TimeSource,
        wake: asyncio.Event,
        stop: asyncio.Event,
        pace: CommitInterval,
        turns: Scheduler,
        labels: tuple[str, str],
        relieve: Callable[[], None],
        on_committed: Callable[[int, Mapping[str, int], Iterable[str]], None],
        on_waiting: Callable[[RetryLater | None], None],
        restore_offsets: bool,
    ) -> None:
        self._fold = fold
        self._transactions = transactions
        self._horizon = horizon
        self._clock = clock
        self._wake = wake
        self._stop = stop
        self._pace = pace
        self._turns = turns
        self._ended = 0
        """When the last commit did."""
        self._rest = 0
        """How long to rest after it."""
        self._labels = labels
        self._relieve = relieve
        self._on_committed = on_committed
        self._on_waiting = on_waiting
        self._waiting: RetryLater | None = None
        self._restore_offsets = restore_offsets
        self._interrupted: TaskError | None = None

    def interrupt(self, error: TaskError) -> None:
        """End this life with `error`."""
        self._interrupted = error
        self._wake.set()

    async def run(self) -> None:
        """Until the stop; raises whatever ended it before."""
        pending = OpenTransaction(forced=self._restore_offsets)
        self._fold.set_aside(pending)
        commit: asyncio.Task[None] | None = None
        try:
            while not self._stop.is_set():
                self._wake.clear()
                if self._interrupted is not None:
                    raise self._interrupted
                if commit is not None and commit.done():
                    commit.result()
                    commit = None
                    self._ended = self._clock.now()
                blocked = None
                if pending.empty:
                    pending.opened = self._clock.now()
                if not pending.sealed and self._fold.ready():
                    async with self._turns.next():
                        blocked = self._fold.step(pending, BACKLOG_SLICE_S if self._late() else SLICE_S)
                    self._relieve()
                self._look_outside(self._fold.waiting)
                begin_at = self._begin_at(pending) if commit is None else None
                may_begin = begin_at is not None and begin_at <= self._clock.now()
                more = not pending.sealed and blocked is None and self._fold.ready()
                if more and not (may_begin and self._waits(pending)):
                    continue
                if may_begin:
                    commit = self._begin(pending)
                    pending = OpenTransaction()
                elif pending.sealed:
                    await self._clock.wait(self._wake, begin_at)
                elif not self._horizon.advance(blocked, pending):
                    await self._clock.wait(self._wake, earliest(begin_at, self._horizon.wake_at()))
                else:
                    async with self._turns.next():  # timers acted: others have their turn before more of them do
                        pass
        except (RecordFailed, TimersFailed) as error:
            # What failed stands on what is still committing: if that is not written, this is not counted.
            if commit is not None:
                await asyncio.gather(commit, return_exceptions=True)
                if not commit.cancelled() and (unwritten := commit.exception()) is not None:
                    raise unwritten from error
            raise
        finally:
            self._look_outside(None)
            self._horizon.close()
            if commit is not None:
                # Nothing may still be under way when the next life begins, however it ends.
                await asyncio.gather(commit, return_exceptions=True)

    def _look_outside(self, waiting: RetryLater | None) -> None:
        """A record that waits is tried again when the answer is there, not sooner unless something else happens."""
        if waiting is not None and (self._waiting is None or waiting.answered is not self._waiting.answered):
            waiting.answered.add_done_callback(lambda _: self._wake.set())
        if (waiting is None) is not (self._waiting is None):
            self._on_waiting(waiting)
        self._waiting = waiting

    def _waits(self, pending: OpenTransaction) -> bool:
        """Does what was folded wait for more of the same age, rather than for old records to be worked off?"""
        return self._clock.now() - pending.opened >= GATHERING and not self._late()

    def _late(self) -> bool:
        """Are the records at hand so old that only how fast they are worked off matters?"""
        return self._clock.now() - self._fold.time >= OLD

    def _begin_at(self, pending: OpenTransaction) -> int | None:
        """The instant from which on this may be committed; None while there is nothing to commit."""
        if pending.empty:
            return None
        if pending.forced or pending.sealed:
            return 0
        self._ended = min(self._ended, self._clock.now())  # a wall clock can be set back
        return self._ended + (self._pace.silent if pending.silent else self._rest)

    def _begin(self, pending: OpenTransaction) -> asyncio.Task[None]:
        fold = self._fold
        applied = Checkpoint(offsets=fold.inbox.positions(), time=fold.time)
        write = Write(pending.effects, encode_checkpoint(applied), applied.offsets, fold.time // 1_000)
        self._rest = min(self._pace.rest * (pending.records + pending.fired), max(self._pace.rest, self._pace.most))
        task = asyncio.create_task(self._commit(write, pending))
        task.add_done_callback(lambda _: self._wake.set())
        return task

    async def _commit(self, write: Write, pending: OpenTransaction) -> None:
        started = perf_counter()
        await self._transactions.commit(write)
        metrics.COMMIT_SECONDS.labels(self._labels[0]).observe(perf_counter() - started)
        if pending.due is not None:
            metrics.TIMER_LAG_SECONDS.labels(self._labels[0]).observe((self._clock.now() - pending.due) / 1_000_000)
        metrics.RECORDS.labels(*self._labels).inc(pending.records)
        metrics.TIMERS.labels(*self._labels).inc(pending.fired)
        metrics.WRITES.labels(*self._labels).inc(len(write.effects.sends) + len(write.effects.rows))
        metrics.QUEUED.labels(*self._labels).set(self._fold.inbox.size)
        self._on_committed(pending.fired, write.offsets, pending.quarantined)
