"""Checks of an input event before it is sent that go beyond those of the agents: misspelled fields, and times that
would be rejected on arrival. The agents ignore fields that they do not know, which a later release may have added; for
the sender of an event an error is more useful."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from streams.config_files.scalars import close_to, format_duration
from streams.serde.cloudevents_json import data_fields
from streams.serde.codec import Fields
from streams.serde.json_records import TEXTS_FOR_PEOPLE, Field
from streams.sla.arrival import TimeLimits, check_instants, check_time
from streams.sla.events import Amended, Event, Rejection
from streams.sla.instants import format_rfc3339

#: The attributes of events, and those of CloudEvents that this product ignores.
_ATTRIBUTES = ("specversion", "id", "type", "source", "subject", "time", "receivedtime", "backfill", "traceparent")
_OTHER_ATTRIBUTES = ("data", "datacontenttype", "dataschema", "tracestate", "partitionkey")
#: CloudEvents, "Naming conventions": the form of extension attributes.
_EXTENSION = re.compile(r"[a-z0-9]{1,40}")
#: Names of attributes in other representations of the same event.
_OTHER_NAMES = {"received_time": "receivedtime", "event_id": "id", "occurred_at": "time", "timestamp": "time"}
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_LISTED = 12


def unknown_field(event: Mapping[str, object]) -> Rejection | None:
    """Refuses an event in the JSON form with a field that its type does not have. Unknown types, and data that is not
    an object, are left to other checks."""
    fields = data_fields(event.get("type"))
    data = event.get("data")
    if fields is None or not isinstance(data, dict):
        return None
    found = next(_unknown_attributes(event, data, [field.name for field in fields]), None)
    found = found or next(_unknown_names(data, fields, "data", str(event["type"])), None)
    if found is None:
        return None
    given_id = event.get("id")
    return Rejection("invalid", found, given_id if isinstance(given_id, str) else None)


def printable(fields: Fields) -> Fields:
    """The fields with the control characters in texts for people, other than tabs and line breaks, as U+FFFD."""
    texts = {name: fields[name] for name in TEXTS_FOR_PEOPLE & fields.keys()}
    repaired = {name: _CONTROL.sub("\ufffd", text) for name, text in texts.items() if isinstance(text, str)}
    return fields if all(texts[name] == text for name, text in repaired.items()) else {**fields, **repaired}


def untimely(event: Event, now: int, limits: TimeLimits) -> Rejection | None:
    """Refuses an event that the agents would reject for its time (R5) if it arrived now, by this machine's clock."""
    time = format_rfc3339(event.time)
    if event.time > now + limits.future_skew:
        skew, clock = format_duration(limits.future_skew), format_rfc3339(now)
        ahead = f"is more than {skew} ahead of this machine's clock, {clock}"
        return Rejection("future", f"time: {time} {ahead}; correct the time, or the clock", event.id)
    if event.time < now - limits.lateness and not event.backfill:
        late = f"is more than {format_duration(limits.lateness)} ago; history is loaded with backfill only"
        return Rejection("too_late", f"time: {time} {late}", event.id)
    # Its receivedtime, and instants in the payload.
    return _contradictory(event) or _named(check_time(event, now, limits))


def _contradictory(event: Event) -> Rejection | None:
    if isinstance(event.payload, Amended) and _ends_before_it_begins(event.payload):
        message = "restored_at: is before started_at; a fault that was none is annulled (incident.annulled)"
        return Rejection("invalid", message, event.id)
    return None


def _ends_before_it_begins(payload: Amended) -> bool:
    started, restored = payload.started_at, payload.restored_at
    return started is not None and restored is not None and restored < started


def untimely_instants(event: Event, limits: TimeLimits) -> Rejection | None:
    """Refuses an event that the agents would reject for instants in its payload whenever it arrived (R5)."""
    return _contradictory(event) or _named(check_instants(event, limits))


def _named(refused: Rejection | None) -> Rejection | None:
    """The field that a message begins with, as other messages name it."""
    if refused is None:
        return None
    field, _, problem = refused.message.partition(" ")
    return refused._replace(message=f"{field}: {problem}")


def _unknown_attributes(
    event: Mapping[str, object], data: Mapping[str, object], data_names: list[str]
) -> Iterator[str]:
    known = (*_ATTRIBUTES, *_OTHER_ATTRIBUTES)
    # CloudEvents allows no underscores in names of attributes. Beside the field itself such an extension loses nothing.
    misplaced = {name.replace("_", ""): name for name in data_names if name not in data}
    for name in event:
        if name in known:
            continue
        if name in _OTHER_NAMES:
            yield f"{_shown(name)}: is not an attribute of an event; did you mean {_OTHER_NAMES[name]}?"
        elif name in data_names:
            yield f"{_shown(name)}: belongs in data"
        elif name in misplaced:
            yield f"{_shown(name)}: belongs in data, as {misplaced[name]}"
        elif (near := close_to(name, _ATTRIBUTES)) or not _EXTENSION.fullmatch(name):
            yield f"{_shown(name)}: is not an attribute of an event{near}; allowed: {', '.join(_ATTRIBUTES)}, data"


def _unknown_names(data: Mapping[str, object], fields: Iterable[Field], path: str, whose: str) -> Iterator[str]:
    known = {field.name: field for field in fields}
    for name, value in data.items():
        field = known.get(name)
        if field is None:
            listed = ", ".join([*known][:_LISTED]) + (", …" if len(known) > _LISTED else "")
            yield f"{path}.{_shown(name)}: {whose} has no such field{close_to(name, known)}; allowed: {listed}"
        elif isinstance(value, dict) and field.nested:
            yield from _unknown_names(value, field.nested, f"{path}.{name}", name)


def _shown(name: str) -> str:
    return name[:60].encode("ascii", "backslashreplace").decode()
