"""Events to Kafka records, checked as `sla publish` checks them; rejected items to the rejected topic (R27)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from connect.intake.outcome import Event, RejectedItem
from streams.runtime.dead_letter import rejected
from streams.runtime.processor import Record
from streams.serde.input_records import input_record_from_json
from streams.sla.events import Event as CheckedEvent
from streams.sla.events import Rejection

REJECTED_TOPIC = "rejected"
_HEADER_BYTES = 16
_NUMBER_BYTES = 6
_MAX_SHOWN_ITEMS = 100


class OutgoingRecord(NamedTuple):
    """A record to write. `topic` has no prefix; the key determines the partition. A value of None deletes the key."""

    topic: str
    key: str
    value: bytes | None
    headers: list[tuple[str, bytes]]
    partition: int | None = None
    """The partition, where the key does not determine it."""
    sender: str = ""
    """The source whose request it is of; empty for what the intake writes by itself."""

    @property
    def size(self) -> int:
        """About how many bytes it occupies until Kafka acknowledges it."""
        heads = sum(len(name) + len(value) + _HEADER_BYTES for name, value in self.headers)
        return len(self.key) + len(self.value or b"") + heads + 128


class PreparedEvent(NamedTuple):
    """A checked event and its Kafka record."""

    event_type: str
    event_id: str
    subject: str
    time: int
    record: OutgoingRecord
    checked: CheckedEvent


def prepare(event: Event, check: Callable[[CheckedEvent], Rejection | None] | None = None) -> PreparedEvent | Rejection:
    """The record of an event in the JSON form, or the reason why the agents would reject it. `check` may give another
    reason."""
    ready = input_record_from_json(event)
    if isinstance(ready, Rejection):
        return ready
    checked = ready.event
    rejection = None if check is None else check(checked)
    if rejection is not None:
        return rejection
    record = OutgoingRecord(ready.topic, checked.subject, ready.value, ready.headers)
    return PreparedEvent(checked.type, checked.id, checked.subject, checked.time, record, checked)


def reject_record(
    source: str,
    media_type: str,
    content: bytes,
    rejected_items: Sequence[RejectedItem],
    arrival: int,
    digest: bytes,
) -> OutgoingRecord:
    """The unchanged body of a request, with the reasons of its rejection.

    The body came from no topic: its place is `intake/` and the source's name, its offset the beginning of the
    request's digest. Of the HTTP headers only the media type is kept: others hold secrets.
    """
    place = f"intake/{source}"
    number = int.from_bytes(digest[:_NUMBER_BYTES], "big")
    headers = [("content-type", media_type.encode(errors="replace"))]
    original = Record(place, 0, number, arrival, source.encode(), content, headers)
    shown = rejected_items[:_MAX_SHOWN_ITEMS]
    message = "; ".join(f"{each.item}: {each.reason}" if each.item else each.reason for each in shown)
    sent = rejected(original, rejected_items[0].code, message.encode(errors="replace").decode(), REJECTED_TOPIC, 0)
    return OutgoingRecord(REJECTED_TOPIC, source, sent.value or b"", sent.headers)
