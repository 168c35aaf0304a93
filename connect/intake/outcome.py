"""The outcome of one item of a request: an event to publish, an item ignored by rule, or a rejection."""

from __future__ import annotations

from typing import NamedTuple

#: An event in the JSON form: a CloudEvents structured-mode object.
Event = dict[str, object]


class EventItem(NamedTuple):
    """An event to publish. `item` is its place in the request, such as `alerts[2]`; empty for the whole body. One that
    is `optional` only makes up for what may have been lost: where its source may not publish it, it is left out, for
    its sender did no wrong."""

    item: str
    event: Event
    optional: bool = False


class IgnoredItem(NamedTuple):
    """Understood, but no incident: nothing is published, and a retry changes nothing.

    `unapplied` names a change of an incident that no event of the contract can express, such as
    `comment_made_private`: somebody has to look at it, so it is logged and counted. `subject` is the incident.
    `if_open` is such a change too, where the incident is open: only what was published before tells that.
    """

    item: str
    reason: str
    unapplied: str | None = None
    subject: str | None = None
    if_open: str | None = None


#: An incident that the mapping ignores from now on stays open, where its sender does not tell what it was before.
IGNORED_WHILE_OPEN = "ignored_while_open"


class RejectedItem(NamedTuple):
    """Not understood or not mapped: `code` is one of R27's, `reason` says what, where and what to do."""

    item: str
    code: str
    reason: str


ItemOutcome = EventItem | IgnoredItem | RejectedItem


class RequestOutcome(NamedTuple):
    """What became of a request, as its sender is told: types and incidents of the events that Kafka has, and why other
    items were not published. `unavailable`: Kafka has not acknowledged in time."""

    published: tuple[tuple[str, str], ...] = ()
    problems: tuple[str, ...] = ()
    unavailable: bool = False


class Reply(NamedTuple):
    """A POST request with a JSON body, by which a person is told what became of an action."""

    url: str
    body: bytes


def event(
    event_type: str, event_id: str, source: str, subject: str, time: object, data: dict[str, object]
) -> dict[str, object]:
    """An event in the JSON form; fields of `data` that are None are omitted."""
    return {
        "specversion": "1.0",
        "id": event_id,
        "type": event_type,
        "source": source,
        "subject": subject,
        "time": time,
        "data": {name: value for name, value in data.items() if value is not None},
    }
