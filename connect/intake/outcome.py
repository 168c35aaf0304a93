"""What becomes of one item of a request: a fact to publish, something left aside on purpose, or a refusal."""

from __future__ import annotations

from typing import NamedTuple

#: A fact in the JSON form: a CloudEvents structured-mode object.
Event = dict[str, object]


class Fact(NamedTuple):
    """An event to publish. `item` is where it stood in the request, such as `alerts[2]`; empty for the whole body."""

    item: str
    event: Event


class Ignored(NamedTuple):
    """Understood, and no incident of ours: nothing is to be published, and sending it again changes nothing."""

    item: str
    reason: str


class Refused(NamedTuple):
    """Can't be understood or mapped: `code` is one of R27's, `reason` says what, where and what to do."""

    item: str
    code: str
    reason: str


Outcome = Fact | Ignored | Refused


def event(
    event_type: str, event_id: str, source: str, subject: str, time: object, data: dict[str, object]
) -> dict[str, object]:
    """A fact in the JSON form; fields of `data` that are None are left out."""
    return {
        "specversion": "1.0",
        "id": event_id,
        "type": event_type,
        "source": source,
        "subject": subject,
        "time": time,
        "data": {name: value for name, value in data.items() if value is not None},
    }
