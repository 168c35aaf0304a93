"""Facts to Kafka records, checked as `sla publish` checks them; refusals to records of the rejected topic (R27)."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple

from connect.intake.outcome import Event, Refused
from streams.runtime.dead_letter import rejected
from streams.runtime.processor import Record
from streams.serde.cloudevents_json import from_json
from streams.serde.input_records import input_record
from streams.sla.events import Rejection

REJECTED_TOPIC = "rejected"
_HEADER_BYTES = 16
_NUMBER_BYTES = 6


class Outgoing(NamedTuple):
    """A record to be written; `topic` without prefix, the partition is the key's."""

    topic: str
    key: str
    value: bytes
    headers: list[tuple[str, bytes]]

    @property
    def size(self) -> int:
        """Bytes that it takes while it is under way, about."""
        heads = sum(len(name) + len(value) + _HEADER_BYTES for name, value in self.headers)
        return len(self.key) + len(self.value) + heads + 128


class Ready(NamedTuple):
    """A checked event and its record."""

    event_type: str
    event_id: str
    subject: str
    time: int
    record: Outgoing


def prepare(event: Event) -> Ready | Rejection:
    """The record of an event in the JSON form, or why the product would reject it."""
    parsed = from_json(event, inputs_only=True)
    if isinstance(parsed, Rejection):
        return parsed
    ready = input_record(*parsed)
    if isinstance(ready, Rejection):
        return ready
    checked = ready.event
    record = Outgoing(ready.topic, checked.subject, ready.value, ready.headers)
    return Ready(checked.type, checked.id, checked.subject, checked.time, record)


def reject_record(source: str, media_type: str, content: bytes, refused: Sequence[Refused], arrival: int) -> Outgoing:
    """The body of a request, untouched, with why it was refused.

    It lies in no topic: its place is `intake/` and the source's name, its number a digest of the body, so that one is
    told from another. Of its HTTP headers only the media type is kept: others hold secrets.
    """
    place = f"intake/{source}"
    number = int.from_bytes(blake2b(content, digest_size=_NUMBER_BYTES).digest(), "big")
    headers = [("content-type", media_type.encode(errors="replace"))]
    original = Record(place, 0, number, arrival, source.encode(), content, headers)
    told = "; ".join(f"{each.item}: {each.reason}" if each.item else each.reason for each in refused)
    sent = rejected(original, refused[0].code, told.encode(errors="replace").decode(), REJECTED_TOPIC, 0)
    return Outgoing(REJECTED_TOPIC, source, content, sent.headers)
