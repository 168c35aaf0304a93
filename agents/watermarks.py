"""Watermarks on request (R26): how a ledger partition learns that no incident partition has older input left.

A ledger partition whose next statement is due, or which has input that came long after the last watermark
(`input_order`), asks the incident partitions that lag behind its instant. Each answers all ledger partitions once its
stream time has passed an instant asked for, at most every `mark_every`. A deployment in which no statement is due and
no input arrives writes nothing.

Each ledger partition waits for one instant, the last that it asked for. One that is never reached, because a machine's
clock was years ahead, keeps no answer from the others.
"""

from __future__ import annotations

from agents.changelog.input_rows import row_key
from agents.context import AgentContext
from agents.egress import Egress
from streams.internal_topics import TO_INCIDENTS, TO_LEDGER
from streams.runtime.processor import Effects, Record
from streams.sla.events import Output, Rejection
from streams.sla.instants import LATEST
from streams.worker_progress import REQUEST, REQUEST_TYPE, WATERMARK

_NEVER = -(1 << 62)
_OF_ALL = -1
"""The key of what earlier releases stored."""
_ASKED_BY = b"partition-"
"""A request's key is this and the ledger partition."""


def check_watermark(partition: int, until: int, partitions: int) -> Rejection | None:
    """Why there can't be such a watermark, or request for one, at an instant in microseconds. For a partition that does
    not exist the ledger would wait, and ask there; an instant that is never reached would end all waiting."""
    if not 0 <= partition < partitions:
        message = f"partition {partition} does not exist; there are {partitions}, from 0. Check SLA_PARTITIONS"
        return Rejection("invalid", message)
    if not 0 <= until <= LATEST:
        return Rejection("invalid", f"the watermark {until} is not an instant from 1970 to 9999 in microseconds")
    return None


def check_request(key: bytes | None, partition: int, until: int, partitions: int) -> int | Rejection:
    """The ledger partition that sent a request with this key, or why there can't be such a request."""
    rejection = check_watermark(partition, until, partitions)
    if rejection is not None:
        return rejection
    digits = (key or b"").removeprefix(_ASKED_BY)
    if digits.isdigit() and len(digits) < 10 and (ledger := int(digits)) < partitions:
        return ledger
    return Rejection("invalid", "the key of a request for a watermark names no ledger partition. Check SLA_PARTITIONS")


class WatermarkWriter:
    """The watermarks of one incident partition. Instants in microseconds."""

    def __init__(self, context: AgentContext, egress: Egress, mark_every: int) -> None:
        self._context = context
        self._egress = egress
        self._mark_every = mark_every
        self._until = _NEVER
        self._requested: dict[int, int] = {}
        """Ledger partition → the instant that it waits for."""
        self._awaited: int | None = None
        """The earliest of them that is not answered."""

    def restore_watermark(self, until: int) -> None:
        """The last watermark written."""
        self._until = until
        self._set_awaited()

    def restore_request(self, key: bytes, until: int) -> None:
        """The instant that a ledger partition waits for. Earlier releases stored the latest of all partitions."""
        _, _, ledger = key.partition(b"\x1f")
        self._requested[int(ledger or _OF_ALL)] = until
        self._set_awaited()

    def request(self, ledger: int, until: int, effects: Effects) -> None:
        """A ledger partition waits for this instant."""
        if until > self._until and until != self._requested.get(ledger):
            self._requested[ledger] = until
            self._set_awaited()
            self._put(until, effects, REQUEST, str(ledger))

    def _set_awaited(self) -> None:
        self._awaited = min((until for until in self._requested.values() if until > self._until), default=None)

    def next_due(self) -> int | None:
        """Stream time has to pass this instant before the next watermark is written; None while nobody waits."""
        return None if self._awaited is None else max(self._awaited, self._until + self._mark_every)

    def write(self, until: int, effects: Effects) -> None:
        """Send every ledger partition the watermark: all input that arrived by `until` has been applied here."""
        context = self._context
        self._put(until, effects, WATERMARK)
        watermark = Output(
            "time.mark",
            f"mark-{context.partition}-{until}",
            f"partition-{context.partition}",
            until,
            {"partition": context.partition, "marked_until": until},
        )
        value, headers = context.codec.encode_output(watermark, context.source)
        key = watermark.subject.encode()
        record = Record(context.topics.name("impacts"), context.partition, 0, until, key, value, headers)
        for partition in range(context.topics.partitions):
            self._egress.copy_to(record, TO_LEDGER, partition, effects)
        self._egress.send_event(record, effects)
        self._until = until
        self._set_awaited()

    def _put(self, until: int, effects: Effects, *key: str) -> None:
        fields = {"partition": self._context.partition, "until": until}
        effects.put(row_key(*key), self._context.codec.encode("state.mark", fields))


class WatermarkRequests:
    """What one ledger partition has asked for. A restart forgets it and asks again."""

    def __init__(self, context: AgentContext, egress: Egress) -> None:
        self._context = context
        self._egress = egress
        self.asked = _NEVER
        """The latest instant asked for."""

    def next_due(self, awaited: int | None) -> int | None:
        """The instant at which to ask: that of the statement that is due then, `awaited`, unless it was asked for."""
        return None if awaited is None or awaited <= self.asked else awaited

    def send(self, until: int, lagging: tuple[int, ...], effects: Effects) -> None:
        """Ask the lagging incident partitions for a watermark at `until`."""
        context = self._context
        self.asked = until
        key = _ASKED_BY + b"%d" % context.partition
        for partition in lagging:
            value = context.codec.encode(REQUEST_TYPE, {"partition": partition, "until": until})
            source = context.topics.internal(context.agent)
            record = Record(source, context.partition, 0, until, key, value, [])
            self._egress.copy_to(record, TO_INCIDENTS, partition, effects)
