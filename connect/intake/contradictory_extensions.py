"""Extensions of a CloudEvent that name a field of the event and say something else. The field alone counts, so whoever
wrote both has to look which of them was meant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from connect.intake.outcome import Event, IgnoredItem
from streams.sla.events import INCIDENT_RANK
from streams.sla.instants import parse_rfc3339

EXTENSION_DIFFERS = "extension_differs"
#: The incident of an event is its subject, so no field of `data` has this name.
_INCIDENT = "incidentid"
_SHOWN = 128


def differing_extension(item: str, event: Event, subject: str) -> IgnoredItem | None:
    """What to say of the first such extension of a checked event."""
    for name, given, field, value in _named_twice(event):
        if not _same(given, value):
            text = f"{name}: is {_text(given)[:_SHOWN]!r}, and {field} is {_text(value)[:_SHOWN]!r}, which counts"
            return IgnoredItem(item, f"{text}; correct the sender, and what it meant", EXTENSION_DIFFERS, subject)
    return None


def _named_twice(event: Event) -> Iterator[tuple[str, object, str, object]]:
    """Extensions with what they say, and the fields of the same names with what those say. CloudEvents allows no
    underscores in names of extensions."""
    data = event.get("data")
    for field, value in data.items() if isinstance(data, Mapping) else ():
        name = field.replace("_", "")
        if name != field and name in event:
            yield name, event[name], f"data.{field}", value
    if event.get("type") in INCIDENT_RANK and _INCIDENT in event:
        yield _INCIDENT, event[_INCIDENT], "subject", event["subject"]


def _same(given: object, value: object) -> bool:
    """Whether both say the same. Headers carry texts only, and lists and objects have no one form there."""
    if given is None or value is None or isinstance(given, list | dict) or isinstance(value, list | dict):
        return True
    if _text(given) == _text(value):
        return True
    try:
        return parse_rfc3339(_text(given)) == parse_rfc3339(_text(value))
    except ValueError:
        return False


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
