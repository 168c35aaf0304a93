"""The arguments of the typed methods as events in the JSON form, and their checked records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TypedDict

from connect.client.errors import InvalidEvent
from streams.config_files.scalars import close_to
from streams.serde.input_checks import untimely
from streams.serde.input_records import InputRecord, input_record_from_json
from streams.sla.arrival import TimeLimits
from streams.sla.events import Rejection
from streams.sla.instants import format_rfc3339, to_micros

_LIMITS = TimeLimits()
#: An aware datetime, or RFC 3339 text such as 2026-01-31T09:00:00Z.
Instant = datetime | str


class Envelope(TypedDict, total=False):
    """The optional arguments of every event.

    `event_id`: at most 128 characters, one for each thing that happened; default: a new UUID. `time`: when it
    happened; default: now. `backfill`: history that is being loaded, which pages nobody. `received_time`: when history
    became known; default: `time`. `traceparent`: W3C trace context.
    """

    event_id: str
    time: Instant
    backfill: bool
    received_time: Instant
    traceparent: str


def checked_record(event: Mapping[str, object], now: int | None = None, limits: TimeLimits = _LIMITS) -> InputRecord:
    """The record of an event in the JSON form, its time checked if it is to be sent at `now`. Raises InvalidEvent for
    what the product would reject."""
    found = input_record_from_json(dict(event))
    if isinstance(found, InputRecord) and now is not None:
        found = untimely(found.event, now, limits) or found
    if isinstance(found, Rejection):
        raise InvalidEvent(found, f"{event.get('type')} {event.get('subject')}")
    return found


def check_arguments(event_type: str, envelope: Mapping[str, object], data: Iterable[str]) -> None:
    """Raises InvalidEvent for an argument that the methods of this type of event do not have: without a type checker
    nothing else would tell."""
    unknown = envelope.keys() - Envelope.__annotations__.keys()
    if unknown:
        name, known = min(unknown), [*data, *Envelope.__annotations__]
        problem = f"{name}: {event_type} has no such argument{close_to(name, known)}; allowed: {', '.join(known)}"
        raise InvalidEvent(Rejection("invalid", problem))


def instant(value: Instant, field: str) -> str:
    """RFC 3339. Raises InvalidEvent for a datetime that names no instant; texts are checked with their event."""
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise InvalidEvent(Rejection("invalid", f"{field}: has no time zone; use an aware datetime"))
        try:
            return format_rfc3339(to_micros(value))
        except OverflowError as error:
            raise InvalidEvent(Rejection("invalid", f"{field}: {value} is before the year 1 in UTC")) from error
    return value


def listed(values: Iterable[str] | None) -> object:
    """A list for JSON. A text stays a text, and is refused: it would become a list of its characters. What is no list
    at all stays as it is, and is refused too."""
    return list(values) if isinstance(values, Iterable) and not isinstance(values, str) else values


def json_value(value: object, name: str) -> object:
    """An argument of a typed method in the JSON form. Raises InvalidEvent for a datetime that names no instant."""
    match value:
        case datetime():
            return instant(value, name)
        case tuple() if hasattr(value, "_asdict"):
            return {field: each for field, each in value._asdict().items() if each is not None}
        case _:
            return value
