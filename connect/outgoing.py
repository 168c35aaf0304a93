"""Events as a service gives them to records: the JSON form, every check of the product's own, headers, the topic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal, NamedTuple, TypedDict

from connect.errors import InvalidEvent
from streams.codec import MAX_RECORD_BYTES, encode
from streams.headers import headers_for
from streams.json_form import from_json
from streams.sla.events import INCIDENT_RANK, Event, Rejection
from streams.sla.facts import to_event
from streams.sla.instants import format_rfc3339, to_micros

#: An aware datetime, or RFC 3339 text such as 2026-01-31T09:00:00Z.
Instant = datetime | str


class Who(NamedTuple):
    """Who did something: `Who("support", "kim")`."""

    kind: Literal["support", "customer", "monitor", "system"]
    id: str | None = None


class Envelope(TypedDict, total=False):
    """What every event may be given.

    `event_id`: at most 128 characters, one for each thing that happened; default: a fresh one. `time`: when it
    happened; default: now. `backfill`: history that is being loaded, which pages nobody. `received_time`: when history
    became known; default: `time`. `traceparent`: W3C trace context.
    """

    event_id: str
    time: Instant
    backfill: bool
    received_time: Instant
    traceparent: str


class Outgoing(NamedTuple):
    """A checked event as it goes to Kafka; `topic` without prefix."""

    topic: str
    event: Event
    value: bytes
    headers: list[tuple[str, bytes]]


def outgoing(event: Mapping[str, object]) -> Outgoing:
    """The record of an event in the JSON form. Raises InvalidEvent for what the product would reject."""
    what = f"{event.get('type')} {event.get('subject')}"
    parsed = from_json(dict(event), inputs_only=True)
    if isinstance(parsed, Rejection):
        raise InvalidEvent(parsed, what)
    event_type, record = parsed
    checked = to_event(event_type, record)
    if isinstance(checked, Rejection):
        raise InvalidEvent(checked, what)
    value = encode(event_type, record)
    if len(value) > MAX_RECORD_BYTES:
        message = f"the record has {len(value):,} bytes; at most {MAX_RECORD_BYTES:,} are allowed"
        raise InvalidEvent(Rejection("oversize", message, checked.id), what)
    headers = headers_for(
        checked.type,
        checked.id,
        checked.source,
        checked.subject,
        checked.time,
        traceparent=checked.traceparent,
        backfill=checked.backfill,
    )
    if checked.received is not None:
        headers.append(("ce_receivedtime", format_rfc3339(checked.received).encode()))
    topic = "incident-events" if event_type in INCIDENT_RANK else "contract-events"
    return Outgoing(topic, checked, value, headers)


def instant(value: Instant, field: str) -> str:
    """RFC 3339. Raises InvalidEvent for a datetime that names no instant; texts are checked with their event."""
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise InvalidEvent(Rejection("invalid", f"{field}: has no time zone; use an aware datetime"))
        return format_rfc3339(to_micros(value))
    return value


def listed(values: Sequence[str] | None) -> object:
    """A list for JSON. A text is left as it is, to be refused: it would be a list of its characters."""
    return values if values is None or isinstance(values, str) else list(values)


def json_value(value: object, name: str) -> object:
    """A value of a typed method as JSON has it. Raises InvalidEvent for a datetime that names no instant."""
    match value:
        case datetime():
            return instant(value, name)
        case tuple() if hasattr(value, "_asdict"):
            return {field: each for field, each in value._asdict().items() if each is not None}
        case _:
            return value
