"""Early inputs of a ledger partition: in memory and as changelog rows, in the order of their arrival (R26)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from typing import NamedTuple, cast

from agents.changelog.erasures import redacted_input
from agents.changelog.input_rows import DERIVED_LIMIT, InputRows, row_key
from agents.context import position_of
from streams.internal_topics import unwrap
from streams.runtime.processor import Effects, Record
from streams.serde.codec import Fields
from streams.sla.erasure import Erasures
from streams.sla.events import Event, Rejection
from streams.sla.facts import stored_event

KIND = "@early"


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


class EarlyInputs:
    """The early inputs of one partition."""

    def __init__(self, rows: InputRows, erasures: Erasures) -> None:
        self._rows = rows
        self._erasures = erasures
        self._inputs: dict[int, EarlyInput] = {}
        self._order: list[tuple[int, int]] = []
        """A heap of arrival and number."""
        self._next_number = 0
        self._digests: dict[tuple[str, str, str], bytes] = {}
        """Subject, source and id of an own input → its digest."""
        self._subjects: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._inputs)

    @property
    def first_arrival(self) -> int | None:
        """The arrival of the first input that waits; None when none does."""
        return self._order[0][0] if self._order else None

    @property
    def first(self) -> int:
        """The number of the first input that waits."""
        return self._order[0][1]

    def digest(self, event: Event) -> bytes | None:
        """The digest of the own input with an event's identity, if one waits (R1)."""
        return self._digests.get((event.subject, event.source, event.id))

    def count(self, subject: str) -> int:
        """How many own inputs of a subject wait."""
        return self._subjects[subject]

    def add(self, record: Record, value: bytes, event: Event, effects: Effects, *, copied: bool) -> None:
        """Store an own input."""
        self._put(EarlyInput(self._next_number, record.arrival, record, value, event, copied), effects)

    def add_copy(self, carrier: Record, arrival: int, effects: Effects) -> None:
        """Store a copy from another partition, in the record of the internal topic."""
        early = EarlyInput(self._next_number, arrival, carrier, cast(bytes, carrier.value), None, copied=True)
        self._put(self._with_pseudonyms(early) if self._erasures else early, effects)

    def restore(self, row: Fields) -> None:
        """Restore one from its row."""
        stored = self._rows.codec.decode(cast(bytes, row["input"]), 2 * DERIVED_LIMIT)
        if isinstance(stored, Rejection):
            raise ValueError(f"the changelog holds an early input that can't be read: {stored.message}")
        record, number, copied = self._rows.record_of(stored[1]), cast(int, row["number"]), bool(row["copied"])
        # Own inputs have a digest. Their headers are their publisher's, and may look like the envelope of a copy.
        routed = None if stored[1]["digest"] else unwrap(record)
        if routed is not None:
            self._add(EarlyInput(number, routed.record.arrival, record, cast(bytes, record.value), None, copied))
            return
        record, event = self._rows.decode_input_row(stored[1])
        value = cast(bytes, stored[1]["event"]) or cast(bytes, record.value)
        self._add(EarlyInput(number, record.arrival, record, value, event, copied))

    def take(self, number: int, effects: Effects) -> EarlyInput | None:
        """Take one out, to be applied or rejected now; None when it does not wait."""
        early = self._inputs.pop(number, None)
        if early is None:
            return None
        if self._order[0][1] == number:
            heappop(self._order)
        else:
            self._order.remove((early.arrival, number))
            heapify(self._order)
        self._forget(early)
        effects.put(row_key(KIND, str(number)), None)
        return early

    def erase(self, tenant: str, effects: Effects) -> None:
        """A tenant was erased: inputs that name it name its pseudonym from now on (R29)."""
        name = _avro_string(tenant)
        for early in [each for each in self._inputs.values() if name in each.value]:
            changed = self._with_pseudonyms(early)
            if changed is not early:
                self._forget(early)
                self._put(changed, effects)

    def decoded(self, early: EarlyInput) -> tuple[str, Fields]:
        """Type and fields of an input. Raises ValueError when it can't be read: the state is damaged."""
        decoded = self._rows.codec.decode(early.value, DERIVED_LIMIT)
        if isinstance(decoded, Rejection):
            raise ValueError(f"an early input can't be read: {decoded.code}: {decoded.message}")
        return decoded

    def _with_pseudonyms(self, early: EarlyInput) -> EarlyInput:
        """It without the names of erased tenants; the same object when it has none."""
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
            return early._replace(value=value, record=early.record._replace(value=value))
        return early._replace(value=value, record=record, event=changed)

    def _named(self, fields: Fields) -> Iterator[str]:
        """Replace the names of erased tenants in a record; yields those that it had."""
        before = tuple(cast(list[str], fields["tenant_ids"]))
        after = self._erasures.names(before)
        if after is not before:
            fields["tenant_ids"] = list(after)
            yield from set(before) - set(after)

    def _put(self, early: EarlyInput, effects: Effects) -> None:
        own = early.event is not None
        digest = early.event.digest if early.event is not None else b""
        row = self._rows.encode_input_row(early.record, headers=True, digest=digest, event=early.value if own else b"")
        fields = {"number": early.number, "copied": early.copied, "input": row}
        effects.put(row_key(KIND, str(early.number)), self._rows.codec.encode("state.early_input", fields))
        self._add(early)

    def _add(self, early: EarlyInput) -> None:
        if early.number not in self._inputs:
            heappush(self._order, (early.arrival, early.number))
        self._inputs[early.number] = early
        self._next_number = max(self._next_number, early.number + 1)
        if early.event is not None:
            self._digests[_identity(early.event)] = early.event.digest
            self._subjects[early.event.subject] += 1

    def _forget(self, early: EarlyInput) -> None:
        if early.event is not None:
            del self._digests[_identity(early.event)]
            self._subjects[early.event.subject] -= 1
            if not self._subjects[early.event.subject]:
                del self._subjects[early.event.subject]


def _identity(event: Event) -> tuple[str, str, str]:
    return event.subject, event.source, event.id


def _avro_string(text: str) -> bytes:
    """A string as it is in an Avro value: behind its length, so that a short name is not found within other texts."""
    encoded = text.encode()
    rest, length = 2 * len(encoded), bytearray()
    while rest > 0x7F:
        length.append(rest & 0x7F | 0x80)
        rest >>= 7
    return bytes([*length, rest]) + encoded
