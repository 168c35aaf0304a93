"""Folding records and timers into the effects of one transaction, in the order of time (R11, R32)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from streams.errors import SlaError
from streams.runtime.errors import RecordFailed, TaskError, TimersFailed, WorkerRefused
from streams.runtime.processor import Effects, Processor, Record, RetryLater, SubjectFailed
from streams.runtime.record_queue import RecordQueue

# Other tasks, heartbeats and the commits in flight get a turn after so many records, or so much time. A commit needs
# some thirty turns of the event loop, so this is what the deciding of others adds to it, thirty times.
SLICE = 256
SLICE_S = 0.002
BACKLOG_SLICE_S = 0.02
"""Where what is at hand is old anyway: each turn of the loop has its price too."""


@dataclass(slots=True)
class OpenTransaction:
    """One transaction in the making."""

    effects: Effects = field(default_factory=Effects)
    records: int = 0
    fired: int = 0
    spent_s: float = 0.0
    """Time that folding it took so far, waiting aside."""
    opened: int = 0
    """When its first record or timer was looked at."""
    due: int | None = None
    """The earliest timer that the wall clock let act in it."""
    full: bool = False
    """Commit this before anything else is folded."""
    quarantined: tuple[str, ...] = ()
    """Subjects that this transaction sets aside."""
    forced: bool = False
    """Commit this though it is empty: the group's offsets are to be restored."""

    @property
    def empty(self) -> bool:
        return not (self.records or self.fired or self.forced)

    @property
    def offsets_only(self) -> bool:
        """Nothing follows from what was folded: should it be lost, folding it again comes to the same."""
        return not (self.forced or self.effects.sends or self.effects.rows)


@dataclass(frozen=True, slots=True)
class TransactionLimits:
    """Work in one transaction, at most. A record or timer that alone takes longer than `seconds` is one."""

    records: int
    timers: int
    seconds: float
    bytes: int = 16 * 1024 * 1024
    """Values to be sent; a record or timer that alone sends more is one transaction."""
    attempts: int = 3
    """Tries of a record that makes the processor raise, before it is rejected as `internal`."""


class TransactionBuilder:
    """The state of a running task: processor, queue, time. Whoever catches an error from it throws it away."""

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
        self.waiting: RetryLater | None = None
        """What the next record waits for, or waited for when it was last tried."""
        self._agent = agent
        self._partition = partition
        self._limits = limits
        self._failed = failed
        self._failed_subjects = failed_subjects
        self._stopwatch = stopwatch
        self._slice_began = 0.0
        self._slice_s = SLICE_S
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
        """Fold a slice of records into `transaction`, of so many seconds.

        Returns an instant when the next record cannot be folded before it is known that all that arrived earlier, in
        the other topics too, has been received: a timer is due between (R11).
        """
        self._slice_began, self._slice_s = self._stopwatch(), slice_s
        try:
            return self._step(transaction)
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
            suspect = (topic, raw.offset) in self._failed
            if suspect and not transaction.empty:
                transaction.full = True  # the culprit goes alone, so its neighbours are safe from it
                return None
            arrival = max(raw.timestamp * 1_000, self.time)
            if arrival > self.time:
                due = processor.next_due()
                if due is not None and due < arrival:
                    if not self._single and self.known < arrival and not queue.all_queued():
                        return arrival
                    if not self._fire(arrival, transaction):
                        return None
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
            except Exception as error:
                raise self._record_failed(record, error) from error
            queue.pop(topic)
            self.time = arrival
            transaction.records += 1
            if transaction.records >= self._limits.records or self._full(transaction):
                transaction.full = True
            if transaction.full or self._sliced() >= self._slice_s:
                return None
        return None

    def _sliced(self) -> float:
        """Seconds that this slice has taken so far."""
        return self._stopwatch() - self._slice_began

    def _full(self, transaction: OpenTransaction) -> bool:
        """Has this transaction taken its time, or is there much to write? What it holds waits for its end, and a group
        of heavy records (late facts of long incidents, impacts of many tenants) would otherwise keep everything behind
        them waiting for all of it."""
        if transaction.effects.bytes >= self._limits.bytes:
            return True
        return transaction.spent_s + self._sliced() >= self._limits.seconds

    def ready(self) -> bool:
        """Is there a record to fold now?"""
        may_go = self.waiting is None or self.waiting.answered.done()
        return may_go and self.queue.head() is not None and not self.behind()

    def behind(self) -> bool:
        """Is a topic's backlog from before the start not here yet, so that the order of arrival is not known?"""
        if self._backlog is None:
            return False
        if self.queue.silent_short_of(self._backlog):
            return True
        if self.queue.reached(self._backlog):
            self._backlog = None
        return False

    def fire_due(self, before: int, transaction: OpenTransaction) -> None:
        """The wall clock has passed `before` and all input that arrived earlier has been applied."""
        if before <= self.time:
            return
        self._slice_began, self._slice_s = self._stopwatch(), SLICE_S
        due = self.processor.next_due()
        if due is not None and due < before and transaction.due is None:
            transaction.due = due
        if due is None or due >= before or self._fire(before, transaction):
            self.time = before
        transaction.spent_s += self._sliced()

    def _fire(self, before: int, transaction: OpenTransaction) -> bool:
        """Let timers act; False when the transaction is full or the slice over: more may be due before `before`."""
        if self._failed_subjects and not transaction.empty:
            transaction.full = True  # what came before the crash is kept, so that the culprit can be set aside alone
            return False
        while True:
            due = self._fire_one(before, transaction)
            # What is written carries this time, so it may not lag behind the timers that have acted (R11).
            self.time = max(self.time, before if due is None else min(due, before))
            transaction.full = transaction.fired >= self._limits.timers or self._full(transaction)
            if transaction.full:
                return False
            if due is None or due >= before:
                return True
            if self._sliced() >= self._slice_s:
                return False

    def _fire_one(self, before: int, transaction: OpenTransaction) -> int | None:
        """Let the timer that is due act, one alone as it may have much to say; when the next one is due."""
        try:
            fired = self.processor.fire(before, 1, transaction.effects)
            due = self.processor.next_due()
        except SubjectFailed as failed:
            cause = failed.__cause__ or failed
            message = f"{failed}: {type(cause).__name__}: {cause}"
            raise self._timers_failed(before, message, failed.subject) from cause
        except Exception as error:
            raise self._timers_failed(before, f"{type(error).__name__}: {error}") from error
        if not fired and due is not None and due < before:
            raise self._timers_failed(before, f"a timer due at {due} did not act when asked to act before {before}")
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
        if isinstance(error, SlaError):
            # Nothing is wrong with the record: it tells that this deployment may not go on (R18).
            return WorkerRefused(str(error), agent=self._agent, partition=self._partition)
        return RecordFailed(
            error, agent=self._agent, partition=self._partition, topic=record.topic, offset=record.offset
        )

    def _timers_failed(self, before: int, message: str, subject: str | None = None) -> TimersFailed:
        return TimersFailed(message, agent=self._agent, partition=self._partition, before=before, subject=subject)
