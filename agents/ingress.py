"""Receives records for both agents: unwrap, decode, check, forward to the right partition, or reject."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain
from typing import NamedTuple

from agents.changelog.input_rows import DERIVED_LIMIT
from agents.context import AgentContext
from agents.egress import Egress
from agents.reject_log import about
from agents.rejects import RejectWriter
from streams.internal_topics import LEGACY, unwrap
from streams.kafka.partitioner import partition_of
from streams.kafka.records import UnreadBatch
from streams.runtime.dead_letter import envelope_bytes
from streams.runtime.processor import Effects, Record
from streams.serde.codec import Fields
from streams.sla.events import Event, Rejection
from streams.sla.facts import to_event

#: Key and headers of an input (R28): they are copied where it is forwarded, or waits for its incident's opening.
MAX_ENVELOPE_BYTES = 64 * 1024


class Checked(NamedTuple):
    """An input of this partition: the event, its fields as decoded, and its record as first published."""

    event: Event
    fields: Fields
    record: Record


class Copied(NamedTuple):
    """A copy that an agent sent: its type and fields, its record with the original's coordinates and arrival, and the
    record of the internal topic that carried it."""

    kind: str
    fields: Fields
    record: Record
    carrier: Record


class Ingress:
    """Receives the records of one partition of one agent."""

    def __init__(
        self,
        context: AgentContext,
        rejects: RejectWriter,
        egress: Egress,
        accepts: Callable[[str], bool],
        *,
        elsewhere: str,
        rejects_strays: bool = False,
        home: Callable[[str], int | None] | None = None,
    ) -> None:
        """`accepts` says which event types are inputs, `elsewhere` where the others go. Both agents read what earlier
        versions left in their common topic; the one that `rejects_strays` rejects records there that no agent wrote.
        `home` returns the partition of a subject where it is not that of its hash."""
        self._context = context
        self._rejects = rejects
        self._egress = egress
        self._accepts = accepts
        self._elsewhere = elsewhere
        self._rejects_strays = rejects_strays
        self._home = home
        self._route = context.agent.encode()
        self._own = context.topics.internal(context.agent)
        self._partitions = context.topics.partitions
        self._internal = frozenset({self._own, context.topics.name(LEGACY)})
        self._read: dict[bytes, tuple[Event, Fields]] = {}
        """What values mean that were read ahead."""

    def known(self, record: Record) -> Checked | None:
        """An input of this partition that was read ahead and has nothing wrong with it; None for any other record:
        `receive` takes it."""
        value = record.value
        if value is None:
            return None
        read = self._read.get(value)
        if read is None or record.topic in self._internal or _oversize(record) is not None:
            return None
        event, fields = read
        if partition_of(event.subject, self._partitions) != self._context.partition:
            return None
        del self._read[value]
        self._context.reject_share.received()
        return Checked(event, fields, record)

    def receive(self, record: Record, effects: Effects) -> Checked | Copied | None:
        """The input or copy to apply; None when it was rejected, was forwarded, or is for the other agent."""
        if record.topic not in self._internal:
            return self._check(record, effects, forwarded=False)
        own, routed = record.topic == self._own, unwrap(record)
        if routed is None or (own and routed.route != self._route):
            if own or self._rejects_strays:
                rejection = Rejection("undecodable", "no agent wrote this: it has no envelope for this topic")
                self._rejects.reject(record, rejection, effects)
            return None
        if routed.route != self._route:
            return None
        if routed.forwarded:
            return self._check(routed.record, effects, forwarded=True)
        return self._decode_copy(record, routed.record, effects)

    def read_ahead(self, topic: str, values: Iterable[bytes | None]) -> None:
        """Decode and check inputs that will be received next. One that can't be read yet, or at all, is left to
        `receive`, and so are those after one that raises."""
        if topic in self._internal:
            return
        self._read.clear()
        decode, accepts = self._context.codec.decode, self._accepts
        try:
            for value in values:
                decoded = decode(value)
                if value is None or isinstance(decoded, Rejection) or not accepts(decoded[0]):
                    continue
                event = to_event(*decoded)
                if not isinstance(event, Rejection):
                    self._read[value] = event, decoded[1]
        except Exception:  # `receive` raises it when it is the record's turn
            return

    def _check(self, record: Record, effects: Effects, *, forwarded: bool) -> Checked | None:
        rejects, context = self._rejects, self._context
        context.reject_share.received()
        if (oversize := _oversize(record)) is not None:
            rejects.reject(record, oversize, effects)
            return None
        read = None if record.value is None else self._read.pop(record.value, None)
        if read is None:
            read = self._decode_input(record, effects)
            if read is None:
                return None
        event, fields = read
        own = partition_of(event.subject, context.topics.partitions)
        if self._home is not None and (home := self._home(event.subject)) is not None:
            own = home  # a pseudonym's account stays in the partition of its tenant (R29)
        if own == context.partition:
            return Checked(event, fields, record)
        if forwarded:
            message = (
                f"was forwarded to partition {context.partition}, but its own is {own}; "
                "check that all workers have the same SLA_PARTITIONS"
            )
            rejects.reject(
                record, Rejection("internal", message, event.id), effects, known=about(event.type, event.subject)
            )
            return None
        self._egress.forward(record, own, effects)
        return None

    def _decode_input(self, record: Record, effects: Effects) -> tuple[Event, Fields] | None:
        """The event and its fields; None where the record was rejected."""
        decoded = self._context.codec.decode(record.value)
        if isinstance(decoded, Rejection):
            self._rejects.reject(record, decoded, effects)
            return None
        kind, fields = decoded
        if not self._accepts(kind):
            message = f"{kind} is not an input of {record.topic}; {self._elsewhere}"
            self._rejects.reject(record, Rejection("unknown_type", message), effects)
            return None
        event = to_event(kind, fields)
        if isinstance(event, Rejection):
            self._rejects.reject(record, event, effects, known=about(kind, fields["subject"]))
            return None
        return event, fields

    def _decode_copy(self, carrier: Record, copy: Record, effects: Effects) -> Copied | None:
        """A copy that can't be decoded is rejected with its coordinates in the internal topic, to be retried there."""
        decoded = self._context.codec.decode(copy.value, DERIVED_LIMIT)
        if isinstance(decoded, Rejection):
            self._rejects.reject(carrier, decoded, effects)
            return None
        return Copied(*decoded, copy, carrier)

    def reject_copy(self, copied: Copied, effects: Effects) -> None:
        """Reject a copy of a type that is not copied to this agent."""
        rejection = Rejection("unknown_type", f"{copied.kind} is not copied to this agent")
        self._rejects.reject(copied.carrier, rejection, effects)


def _oversize(record: Record) -> Rejection | None:
    """Why a record is too large whatever its value means; the codec limits the value itself."""
    if isinstance(record.value, UnreadBatch):
        return Rejection(record.value.code, record.value.message)
    if _size_at_most(record) > MAX_ENVELOPE_BYTES and (envelope := envelope_bytes(record)) > MAX_ENVELOPE_BYTES:
        message = f"key and headers have {envelope:,} bytes; at most {MAX_ENVELOPE_BYTES:,} are allowed"
        return Rejection("oversize", message)
    return None


def _size_at_most(record: Record) -> int:
    """No less than `envelope_bytes`, and found sooner: a character takes at most four bytes."""
    texts = filter(None, chain((record.key,), chain.from_iterable(record.headers)))
    return 4 * (sum(map(len, texts)) + len(record.headers))
