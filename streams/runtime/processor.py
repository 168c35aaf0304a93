"""What a task runs: a processor turns records and timers into effects. It does no I/O and reads no clock."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol, runtime_checkable

Headers = Sequence[tuple[str, bytes]]

#: The value of a record, at most. Topics that agents write to take 5 MiB (streams/topics.py), so key and headers fit
#: beside it.
MAX_WRITE_BYTES: Final = 4 * 1024 * 1024
#: The value of a changelog row, at most: one may hold a whole record with its key and headers.
MAX_ROW_BYTES: Final = MAX_WRITE_BYTES + 256 * 1024


class Record(NamedTuple):
    """One input record as stored in Kafka. `arrival` is the broker's append time in microseconds (R32)."""

    topic: str
    partition: int
    offset: int
    arrival: int
    key: bytes | None
    value: bytes | None
    headers: Headers


class Send(NamedTuple):
    """One record to be written inside the task's transaction, to an explicit partition."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]


class SubjectFailed(Exception):  # noqa: N818 -- it names what happened
    """The code that fires a timer of `subject` (an incident, a tenant) raised; `fire` raises this from the cause
    (R27)."""

    def __init__(self, subject: str) -> None:
        super().__init__(f"a timer of {subject}")
        self.subject = subject


class RetryLater(Exception):  # noqa: N818 -- it names what happened
    """A record cannot be applied before something outside Kafka has answered. `apply` raises this before it changes
    anything; the task applies the record again once `answered` is done, and the records after it only then."""

    def __init__(self, reason: str, answered: asyncio.Future[None]) -> None:
        super().__init__(reason)
        self.answered = answered


class WriteFailed(Exception):  # noqa: N818 -- it names what happened
    """What follows from `record`, which was applied before, could not be written; `write_applied` raises this from the
    cause."""

    def __init__(self, record: Record) -> None:
        super().__init__(f"{record.topic}, partition {record.partition}, offset {record.offset}")
        self.record = record


class WriteTooLarge(Exception):  # noqa: N818 -- it names what happened
    """A processor wrote a value that Kafka would refuse. As with any other failure, the input is rejected, or the
    subject of the timer quarantined, and the task goes on."""

    def __init__(self, what: str, size: int, limit: int) -> None:
        super().__init__(f"{what} has {size:,} bytes; at most {limit:,} are allowed")


class Effects:
    """The writes of one transaction: records to send, in order, and changelog rows, each changed key once."""

    __slots__ = ("bytes", "rows", "sends")

    def __init__(self) -> None:
        self.sends: list[Send] = []
        self.rows: dict[bytes, bytes | None] = {}
        self.bytes = 0
        """Total size of the values written: copies to many partitions can be far larger than the input."""

    def send(self, record: Send) -> None:
        """Send a record. Raises WriteTooLarge."""
        value = record.value
        if value is not None:
            size = len(value)
            if size > MAX_WRITE_BYTES:
                raise WriteTooLarge(f"the record for {record.topic}", size, MAX_WRITE_BYTES)
            self.bytes += size
        self.sends.append(record)

    def put(self, key: bytes, value: bytes | None) -> None:
        """Set a changelog row; None deletes it (a tombstone). Raises WriteTooLarge."""
        if value is not None:
            size = len(value)
            if size > MAX_ROW_BYTES:
                raise WriteTooLarge(f"the changelog row {key[:64]!r}", size, MAX_ROW_BYTES)
            self.bytes += size
        self.rows[key] = value


@runtime_checkable
class ReportsProblems(Protocol):
    """A processor that may keep its worker from being ready while it runs."""

    def problems(self, now: int) -> list[str]:
        """What is wrong at this wall-clock time; empty when nothing is. Called every few seconds; it also sets the
        gauges of the processor."""
        ...


@runtime_checkable
class FinishesTransactions(Protocol):
    """A processor that writes something once per transaction, after all of its records and timers."""

    def finish(self, effects: Effects, limit: int) -> bool:
        """Write at most `limit` of these; False while more are left. Called until it returns True, before the
        transaction is committed and before anything else is applied."""
        ...


@runtime_checkable
class WorksInSlices(Protocol):
    """A processor that reads several values before they are applied, and writes after several were: that costs less
    than one at a time, because the code of each stage stays in the CPU's caches."""

    def read_ahead(self, topic: str, values: Sequence[bytes | None]) -> None:
        """Read values that will be applied next. Changes nothing that an output or a row follows from, and raises
        nothing: `apply` finds what is wrong with a value. What follows from these values need not be written by
        `apply`, but by the next `write_applied`."""
        ...

    def write_applied(self, effects: Effects) -> None:
        """Write what follows from records that were applied and is not written yet, in their order. Called before a
        timer is fired and before the transaction ends. Raises WriteFailed: nothing of this transaction may be committed
        then."""
        ...


class Processor(Protocol):
    """The state of one partition of one agent.

    Instants are microseconds since the epoch, UTC. The task guarantees: `restore` for every live changelog row, then
    `restored` once, then `apply` and `fire` in the order of time, never concurrently. State is changed in place: when
    anything after that fails, the task discards the processor and builds a new one from the changelog.
    """

    def restore(self, key: bytes, value: bytes) -> None:
        """Restore one changelog row (tombstones and overwritten rows are never passed)."""
        ...

    def restored(self) -> None:
        """The changelog is complete; rebuild indexes."""
        ...

    def apply(self, record: Record, effects: Effects) -> None:
        """Apply one input. Bad input becomes a reject in `effects`; only RetryLater is raised because of an input."""
        ...

    def reject(self, record: Record, code: str, message: str, effects: Effects, attempts: int = 1) -> None:
        """Put `record` untouched into the rejected topic (R27): the task uses it for code `internal`."""
        ...

    def quarantine(self, subject: str, message: str, effects: Effects, attempts: int) -> None:
        """Stop firing the timers of a subject that keep crashing; its state stays, and one reject reports it (R27)."""
        ...

    def next_due(self) -> int | None:
        """The earliest instant at which `fire` has something to do, or None."""
        ...

    def fire(self, before: int, limit: int, effects: Effects) -> int:
        """Fire timers that are due strictly before `before`, in order, at most `limit`; returns how many fired.

        `before` is the arrival of the next record (R11), or wall-clock time once every input that could have arrived
        earlier has been applied. Raises SubjectFailed when the code for one subject raises: after bounded retries
        that subject is quarantined and the others go on.
        """
        ...
