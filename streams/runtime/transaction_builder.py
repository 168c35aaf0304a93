"""Applies records and timers to the processor, in order of time, and collects one transaction (R11, R32)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import cast

from streams.errors import SlaError
from streams.runtime.errors import RecordFailed, TaskError, TaskInterrupted, TimersFailed, WorkerRefused
from streams.runtime.processor import (
    Effects,
    FinishesTransactions,
    Processor,
    Record,
    RetryLater,
    SubjectFailed,
    WorksInSlices,
    WriteFailed,
)
from streams.runtime.record_queue import RecordQueue

# Other tasks, heartbeats and commits in flight run after so many records, or so much time. A commit takes some thirty
# iterations of the event loop, so it is delayed by up to thirty slices of other tasks.
SLICE = 256
SLICE_S = 0.002
READ_AHEAD = 16
"""Values that are read before the first of them is applied."""
FIRE_TOGETHER = 16
"""Timers that a processor which works in slices fires in one call, at most."""
FINISH_STEP = 8
"""What a processor writes at the end of a transaction before the time is looked at."""
BACKLOG_AGE = 2_000_000
"""Microseconds of lag from which throughput matters more than latency."""
BACKLOG_SLICE_S = 0.02
"""For records with such a lag: each iteration of the event loop has a cost."""


@dataclass(slots=True)
class OpenTransaction:
    """A transaction that is not committed yet."""

    effects: Effects = field(default_factory=Effects)
    records: int = 0
    fired: int = 0
    spent_s: float = 0.0
    """CPU time spent on it so far."""
    opened: int = 0
    """When its first record or timer was taken."""
    arrived: int | None = None
    """When its first record arrived in Kafka."""
    due: int | None = None
    """The earliest timer in it that was fired by the wall clock."""
    full: bool = False
    """Commit it before anything else is applied."""
    quarantined: tuple[str, ...] = ()
    """Subjects that it quarantines."""
    forced: bool = False
    """Commit it even if it is empty: it restores the group's offsets, or quarantines a subject."""

    @property
    def empty(self) -> bool:
        return not (self.records or self.fired or self.forced)

    @property
    def offsets_only(self) -> bool:
        """It writes nothing but offsets: if it is lost, applying its records again has the same result."""
        return not (self.forced or self.effects.sends or self.effects.rows)


@dataclass(frozen=True, slots=True)
class TransactionLimits:
    """Limits of one transaction. A record or timer that alone exceeds `seconds` is a transaction of its own."""

    records: int
    timers: int
    seconds: float
    bytes: int = 16 * 1024 * 1024
    """Size of the values to be sent; a record or timer that alone exceeds it is a transaction of its own."""
    attempts: int = 3
    """Attempts at a record that makes the processor raise, before it is rejected as `internal`."""


class TransactionBuilder:
    """The state of a running task: processor, queue, stream time. After an error it must be discarded."""

    def __init__(
        self,
        agent: str,
        partition: int,
        processor: Processor,
        queue: RecordQueue,
        limits: TransactionLimits,
        *,
        time: int,
        failed: dict[tuple[str, int], list[str]],
        failed_subjects: Mapping[str, Sequence[str]],
        backlog: Mapping[str, int],
        stopwatch: Callable[[], float],
    ) -> None:
        self.processor = processor
        self.queue = queue
        self.time = time
        self.known = time
        """Every input that arrived before this instant has been received."""
        self.finishes = isinstance(processor, FinishesTransactions)
        """Whether `finish` is to be called before a commit."""
        self._slices = processor if isinstance(processor, WorksInSlices) else None
        self._read_until = dict.fromkeys(queue.positions(), 0)
        """Topic → the offset up to which values have been read ahead."""
        self.waiting: RetryLater | None = None
        """What the next record waits for, or waited for at the last attempt."""
        self._agent = agent
        self._partition = partition
        self._limits = limits
        self._failed = failed
        self._failed_subjects = failed_subjects
        self._stopwatch = stopwatch
        self._slice_started = 0.0
        self._slice_s = SLICE_S
        self._timer_s = inf
        """CPU time that each of the last timers took."""
        self._single = len(queue.positions()) == 1
        self._backlog: Mapping[str, int] | None = None if self._single else backlog

    def quarantine_failed(self, transaction: OpenTransaction) -> None:
        """Quarantine the subjects whose timers have crashed too often (R27), in a transaction of its own."""
        for subject, messages in self._failed_subjects.items():
            if len(messages) >= self._limits.attempts:
                self.processor.quarantine(subject, messages[-1], transaction.effects, len(messages))
                transaction.quarantined += (subject,)
                transaction.forced = transaction.full = True

    def step(self, transaction: OpenTransaction, slice_s: float = SLICE_S) -> int | None:
        """Apply queued records to `transaction` for `slice_s` seconds at most.

        Returns the arrival of the next record if it has to wait until every earlier record, of the other topics too,
        has been received, because a timer is due before it (R11); else None.
        """
        self._slice_started, self._slice_s = self._stopwatch(), slice_s
        try:
            blocked = self._step(transaction)
            self._write_applied(transaction)
            return blocked
        finally:
            transaction.spent_s += self._sliced()

    def _step(self, transaction: OpenTransaction) -> int | None:
        queue, processor, effects = self.queue, self.processor, transaction.effects
        self.waiting = None
        for _ in range(SLICE):
            head = queue.head()
            if head is None or self.behind():
                return None
            topic, raw = head
            suspect = bool(self._failed) and (topic, raw.offset) in self._failed
            if suspect and not transaction.empty:
                transaction.full = True  # a suspect record is alone in its transaction: its failure affects no other
                return None
            arrival = max(raw.timestamp * 1_000, self.time)
            if arrival > self.time:
                due = processor.next_due()
                if due is not None and due < arrival:
                    if not self._single and self.known < arrival and not queue.all_queued():
                        return arrival
                    self._write_applied(transaction)
                    if not self._fire(arrival, transaction):
                        return None
            if self._slices is not None and raw.offset >= self._read_until[topic]:
                upcoming = queue.upcoming(topic, READ_AHEAD)
                self._slices.read_ahead(topic, [each.value for each in upcoming])
                self._read_until[topic] = upcoming[-1].offset + 1
            record = Record(topic, self._partition, raw.offset, arrival, raw.key, raw.value, raw.headers)
            try:
                if suspect:
                    self._apply_suspect(record, effects)
                    transaction.full = True
                else:
                    processor.apply(record, effects)
            except RetryLater as waiting:
                self.waiting = waiting
                return None
            except WriteFailed as failed:
                raise self._write_failed(failed) from failed.__cause__
            except Exception as error:
                raise self._record_failed(record, error) from error
            queue.pop(topic)
            self.time = arrival
            if not transaction.records:
                transaction.arrived = raw.timestamp * 1_000
            transaction.records += 1
            sliced = self._sliced()
            if transaction.records >= self._limits.records or self._full(transaction, sliced):
                transaction.full = True
            if transaction.full or sliced >= self._slice_s:
                return None
        return None

    def _write_applied(self, transaction: OpenTransaction) -> None:
        """Have everything written that follows from the records applied so far."""
        if self._slices is not None:
            try:
                self._slices.write_applied(transaction.effects)
            except WriteFailed as failed:
                raise self._write_failed(failed) from failed.__cause__
            if transaction.effects.bytes >= self._limits.bytes:
                transaction.full = True

    def finish(self, transaction: OpenTransaction) -> bool:
        """Let the processor write for one slice what comes at the end of a transaction; False when there is more."""
        processor = cast(FinishesTransactions, self.processor)
        self._slice_started, self._slice_s = self._stopwatch(), SLICE_S
        finished = False
        try:
            while not finished and self._sliced() < self._slice_s:
                finished = processor.finish(transaction.effects, FINISH_STEP)
        except MemoryError as error:
            raise self._out_of_memory() from error
        transaction.spent_s += self._sliced()
        return finished

    def _sliced(self) -> float:
        """Seconds that this slice has taken so far."""
        return self._stopwatch() - self._slice_started

    def _full(self, transaction: OpenTransaction, sliced: float) -> bool:
        """Whether the transaction has reached its limit of bytes or of time. Without these, a run of expensive records
        (late facts of long incidents, impacts of many tenants) would delay everything behind them."""
        if transaction.effects.bytes >= self._limits.bytes:
            return True
        return transaction.spent_s + sliced >= self._limits.seconds

    def ready(self) -> bool:
        """Whether a record can be applied now."""
        may_go = self.waiting is None or self.waiting.answered.done()
        return may_go and self.queue.head() is not None and not self.behind()

    def behind(self) -> bool:
        """Whether records from before the start are missing, so that the order of arrival is not known yet."""
        if self._backlog is None:
            return False
        if self.queue.empty_short_of(self._backlog):
            return True
        if self.queue.reached(self._backlog):
            self._backlog = None
        return False

    def fire_due(self, before: int, transaction: OpenTransaction) -> None:
        """Fire timers for one slice: the wall clock has passed `before` and all input that arrived earlier has been
        applied."""
        if before <= self.time:
            return
        self._slice_started, self._slice_s = self._stopwatch(), SLICE_S
        due = self.processor.next_due()
        if due is not None and due < before and transaction.due is None:
            transaction.due = due
        if due is None or due >= before or self._fire(before, transaction):
            self.time = before
        transaction.spent_s += self._sliced()

    def _fire(self, before: int, transaction: OpenTransaction) -> bool:
        """Fire timers; False when the transaction is full or the slice is over: more may be due before `before`."""
        if self._failed_subjects and not transaction.empty:
            transaction.full = True  # commit what came before, so that the failing subject can be quarantined alone
            return False
        sliced = self._sliced()
        while True:
            fired, started = transaction.fired, sliced
            limit = min(self._fitting(sliced), self._limits.timers - fired)
            due = self._fire_some(before, limit, transaction)
            # Outputs carry this time, so it must not lag behind the timers that have fired (R11).
            self.time = max(self.time, before if due is None else min(due, before))
            sliced = self._sliced()
            self._timer_s = (sliced - started) / max(transaction.fired - fired, 1)
            transaction.full = transaction.fired >= self._limits.timers or self._full(transaction, sliced)
            if transaction.full:
                return False
            if due is None or due >= before:
                return True
            if sliced >= self._slice_s:
                return False

    def _fitting(self, sliced: float) -> int:
        """How many timers to fire in one call: one, as each may write much, unless the processor works in slices; then
        as many as the rest of the slice has time for, if they take as long as the last ones."""
        if self._slices is None:
            return 1
        left_s, each_s = self._slice_s - sliced, self._timer_s
        return FIRE_TOGETHER if left_s >= FIRE_TOGETHER * each_s else max(int(left_s / each_s), 1)

    def _fire_some(self, before: int, limit: int, transaction: OpenTransaction) -> int | None:
        """Fire at most `limit` timers; returns when the next one is due."""
        try:
            fired = self.processor.fire(before, limit, transaction.effects)
            due = self.processor.next_due()
        except SubjectFailed as failed:
            cause = failed.__cause__ or failed
            if isinstance(cause, MemoryError):
                raise self._out_of_memory() from cause
            message = f"{failed}: {type(cause).__name__}: {cause}"
            raise self._timers_failed(before, message, failed.subject) from cause
        except MemoryError as error:
            raise self._out_of_memory() from error
        except Exception as error:
            raise self._timers_failed(before, f"{type(error).__name__}: {error}") from error
        if not fired and due is not None and due < before:
            raise self._timers_failed(before, f"a timer due at {due} did not fire when asked to fire before {before}")
        transaction.fired += fired
        return due

    def _apply_suspect(self, record: Record, effects: Effects) -> None:
        key = (record.topic, record.offset)
        attempts = len(self._failed[key])
        if attempts >= self._limits.attempts:
            self.processor.reject(record, "internal", self._failed[key][-1], effects, attempts)
        else:
            self.processor.apply(record, effects)

    def _record_failed(self, record: Record, error: Exception) -> TaskError:
        if isinstance(error, MemoryError):
            return self._out_of_memory()
        if isinstance(error, SlaError):
            # The record is valid, but this deployment must not continue (R18).
            return WorkerRefused(str(error), agent=self._agent, partition=self._partition)
        return RecordFailed(
            error, agent=self._agent, partition=self._partition, topic=record.topic, offset=record.offset
        )

    def _write_failed(self, failed: WriteFailed) -> TaskError:
        cause = failed.__cause__
        return self._record_failed(failed.record, cause if isinstance(cause, Exception) else failed)

    def _out_of_memory(self) -> TaskError:
        """Nothing is wrong with what is decided: it must not be rejected or quarantined for what the machine lacks."""
        return TaskInterrupted("this process is out of memory", agent=self._agent, partition=self._partition)

    def _timers_failed(self, before: int, message: str, subject: str | None = None) -> TimersFailed:
        return TimersFailed(message, agent=self._agent, partition=self._partition, before=before, subject=subject)
