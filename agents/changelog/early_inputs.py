"""Early inputs of a ledger partition: changelog rows, in memory as they are encoded, in the order of their arrival
(R26)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from hashlib import blake2b
from heapq import heapify, heappop, heappush
from typing import Final, NamedTuple, cast

from agents.changelog.erasures import redacted_input
from agents.changelog.input_rows import DERIVED_LIMIT, InputRows, row_key
from agents.context import position_of
from streams.internal_topics import ENVELOPE_HEADERS, unwrap
from streams.runtime.processor import Effects, Record
from streams.serde.codec import Fields
from streams.sla.erasure import Erasures
from streams.sla.events import Event, Rejection
from streams.sla.facts import stored_event

KIND = "@early"
#: Memory that an input takes beside its row: entries of the index and of the order.
OVERHEAD: Final = 300
#: How much memory the early inputs of a partition may take (`SLA_EARLY_INPUT_BYTES`).
LIMIT: Final = 128 * 1024 * 1024


class EarlyInput(NamedTuple):
    """An input that waits. An own input has its `event`, and its `record` as it was published; a copy from another
    partition has the record of the internal topic. `value` is the event in single-object encoding, `copied` says
    whether other partitions have their copies of it. Instants in microseconds."""

    number: int
    arrival: int
    record: Record
    value: bytes
    event: Event | None
    copied: bool

    @property
    def subject(self) -> str:
        """The subject that is at fault where it raises an exception: its row, and its coordinates, because numbers are
        used again after a restart. No tenant has such a name."""
        topic, _, offset = position_of(self.record)
        return row_key(KIND, str(self.number), topic, str(offset)).decode()


def number_of(subject: str) -> int | None:
    """The number in an `EarlyInput.subject`; None for any other subject."""
    kind, separator, rest = subject.partition("\x1f")
    return int(rest.partition("\x1f")[0]) if separator and kind == KIND else None


class EarlyInputs:
    """The early inputs of one partition. `limit` is how many bytes of memory they may take."""

    def __init__(self, rows: InputRows, erasures: Erasures, limit: int = LIMIT) -> None:
        self._rows = rows
        self._erasures = erasures
        self._limit = limit
        self.values: dict[int, bytes] = {}
        """Number → row."""
        self.bytes = 0
        """About how many bytes of memory they take."""
        self._order: list[tuple[int, int]] = []
        """A heap of arrival and number."""
        self._next_number = 0
        self._digests: dict[bytes, bytes] = {}
        """Subject, source and id of an own input → its digest."""
        self._subjects: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self.values)

    @property
    def over_limit(self) -> bool:
        """Whether they take more memory than allowed."""
        return self.bytes > self._limit

    @property
    def first_arrival(self) -> int | None:
        """The arrival of the first input that waits; None when none does."""
        return self._order[0][0] if self._order else None

    def first(self) -> EarlyInput:
        """The first input that waits. Raises IndexError when none does, ValueError when its row can't be read."""
        return self._decoded_row(self.values[self._order[0][1]])

    def digest(self, event: Event) -> bytes | None:
        """The digest of the own input with an event's identity, if one waits (R1)."""
        return self._digests.get(_identity(event))

    def count(self, subject: str) -> int:
        """How many own inputs of a subject wait."""
        return self._subjects[subject]

    def add(self, record: Record, value: bytes, event: Event, effects: Effects, *, copied: bool) -> None:
        """Store an own input."""
        early = EarlyInput(self._next_number, record.arrival, record, value, event, copied)
        self._add(early, self._put(early, effects))

    def add_copy(self, carrier: Record, arrival: int, effects: Effects) -> None:
        """Store a copy from another partition, in the record of the internal topic."""
        copy = EarlyInput(self._next_number, arrival, carrier, cast(bytes, carrier.value), None, copied=True)
        early = self.redacted(copy)
        self._add(early, self._put(early, effects))

    def restore(self, value: bytes) -> None:
        """Restore one from its row."""
        self._add(self._decoded_row(value), value)

    def get(self, number: int) -> EarlyInput | None:
        """One that waits; None when it does not. Raises ValueError when its row can't be read."""
        value = self.values.get(number)
        return None if value is None else self._decoded_row(value)

    def take(self, early: EarlyInput, effects: Effects) -> None:
        """Take one out, to be applied or rejected now."""
        if self._order[0][1] == early.number:
            heappop(self._order)
        else:
            self._order.remove((early.arrival, early.number))
            heapify(self._order)
        self._forget(early)
        effects.put(row_key(KIND, str(early.number)), None)

    def redact(self, early: EarlyInput, effects: Effects) -> None:
        """Replace the names of erased tenants in one that waits, and in its row (R29)."""
        changed = self.redacted(early)
        if changed is not early:
            self._forget(early)
            self._index(changed, self._put(changed, effects))

    def decoded(self, early: EarlyInput) -> tuple[str, Fields]:
        """Type and fields of an input. Raises ValueError when it can't be read: the state is damaged."""
        decoded = self._rows.codec.decode(early.value, DERIVED_LIMIT)
        if isinstance(decoded, Rejection):
            raise ValueError(f"an early input can't be read: {decoded.code}: {decoded.message}")
        return decoded

    # -- erased tenants ------------------------------------------------------------------------------------------------

    def redacted(self, early: EarlyInput) -> EarlyInput:
        """It without the names of erased tenants; the same object when it has none."""
        if not self._erasures:
            return early
        kind, fields = self.decoded(early)
        if kind == "impact.changed":
            intervals = cast(list[Fields], fields["intervals"])
            named = [*self._named(fields), *(name for each in intervals for name in self._named(each))]
            if not named:
                return early
            value = self._rows.codec.encode(kind, fields)
            return early._replace(value=value, record=early.record._replace(value=value))
        event = early.event or cast(Event, stored_event(kind, fields))
        changed = self._erasures.event(event)
        if changed is event:
            return early
        record = redacted_input(self._rows, changed, early.arrival, position_of(early.record))
        value = cast(bytes, record.value)
        if early.event is None:
            envelope = early.record.headers[:ENVELOPE_HEADERS]
            return early._replace(value=value, record=early.record._replace(value=value, headers=envelope))
        return early._replace(value=value, record=record, event=changed)

    def _named(self, fields: Fields) -> Iterator[str]:
        """Replace the names of erased tenants in a record; yields those that it had."""
        before = tuple(cast(list[str], fields["tenant_ids"]))
        after = self._erasures.names(before)
        if after is not before:
            fields["tenant_ids"] = list(after)
            yield from set(before) - set(after)

    # -- rows and index ------------------------------------------------------------------------------------------------

    def _decoded_row(self, value: bytes) -> EarlyInput:
        _, row = self._rows.row(KIND.encode(), value)
        stored = self._rows.codec.decode(cast(bytes, row["input"]), 2 * DERIVED_LIMIT)
        if isinstance(stored, Rejection):
            raise ValueError(f"the changelog holds an early input that can't be read: {stored.message}")
        record, number, copied = self._rows.record_of(stored[1]), cast(int, row["number"]), bool(row["copied"])
        # Own inputs have a digest. Their headers are their publisher's, and may look like the envelope of a copy.
        routed = None if stored[1]["digest"] else unwrap(record)
        if routed is not None:
            return EarlyInput(number, routed.record.arrival, record, cast(bytes, record.value), None, copied)
        record, event = self._rows.decode_input_row(stored[1])
        own = cast(bytes, stored[1]["event"]) or cast(bytes, record.value)
        return EarlyInput(number, record.arrival, record, own, event, copied)

    def _put(self, early: EarlyInput, effects: Effects) -> bytes:
        """Write the row; returns it."""
        own = early.event is not None
        digest = early.event.digest if early.event is not None else b""
        row = self._rows.encode_input_row(early.record, headers=True, digest=digest, event=early.value if own else b"")
        fields = {"number": early.number, "copied": early.copied, "input": row}
        value = self._rows.codec.encode("state.early_input", fields)
        effects.put(row_key(KIND, str(early.number)), value)
        return value

    def _add(self, early: EarlyInput, value: bytes) -> None:
        heappush(self._order, (early.arrival, early.number))
        self._next_number = max(self._next_number, early.number + 1)
        self._index(early, value)

    def _index(self, early: EarlyInput, value: bytes) -> None:
        self.values[early.number] = value
        self.bytes += len(value) + OVERHEAD
        if early.event is not None:
            self._digests[_identity(early.event)] = early.event.digest
            self._subjects[early.event.subject] += 1

    def _forget(self, early: EarlyInput) -> None:
        self.bytes -= len(self.values.pop(early.number)) + OVERHEAD
        if early.event is not None:
            self._digests.pop(_identity(early.event), None)
            self._subjects[early.event.subject] -= 1
            if not self._subjects[early.event.subject]:
                del self._subjects[early.event.subject]


def _identity(event: Event) -> bytes:
    """Digest of what identifies an event, which takes less memory."""
    return blake2b("\x1f".join((event.subject, event.source, event.id)).encode(), digest_size=16).digest()
