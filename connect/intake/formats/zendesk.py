"""Zendesk's event webhooks: a ticket is an incident, its comments are answers, its status pauses and ends it.

Deliveries come in any order and more than once. Each event carries its own time and id, and that is all that is used:
the agents order facts by time (R2), so `event.meta.sequence` is not needed. Letter case of values varies; it is folded.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from connect.intake.formats import tickets
from connect.intake.formats.tickets import Ticket
from connect.intake.mapping.rules import IgnoredByRule, Source, States, left_aside
from connect.intake.outcome import Ignored, Outcome, Refused

PREFIX = "zen:event-type:ticket."
STATES = States(
    resolved=frozenset(["solved", "closed", "archived"]),
    waiting_customer=frozenset(["pending"]),
    waiting_third_party=frozenset(["hold"]),
)
#: Event → the field of `detail` whose previous and current value it tells.
_FIELDS = {
    "priority_changed": "priority",
    "type_changed": "type",
    "ticket_type_changed": "type",
    "organization_changed": "organization_id",
    "group_assignment_changed": "group_id",
    "brand_changed": "brand_id",
    "form_changed": "form_id",
}


def outcomes(payload: object, source: Source) -> Iterator[Outcome]:
    """What one event becomes; paths of the mapping look into the whole payload (`detail.priority`)."""
    if not isinstance(payload, dict) or not isinstance(payload.get("type"), str):
        yield Refused("", "invalid", "no event of Zendesk: it has no text `type`")
        return
    kind = payload["type"]
    if not kind.startswith(PREFIX):
        yield Ignored("", f"{kind[:80]} is no event of a ticket")
        return
    change = payload.get("event")
    told: dict[str, Any] = change if isinstance(change, dict) else {}
    try:
        ticket = _ticket(payload, source)
    except ValueError as error:
        yield Refused("", "invalid", str(error))
        return
    yield from _event(kind.removeprefix(PREFIX), payload, told, ticket, source)


def _event(
    kind: str, payload: dict[str, Any], told: dict[str, Any], ticket: Ticket, source: Source
) -> Iterator[Outcome]:
    if kind == "created":
        detail = payload["detail"]
        # `detail` may show a later status than the first: its change is then told of by itself.
        untouched = detail.get("updated_at") == detail.get("created_at")
        state = source.states.of(_word(detail.get("status"))) if untouched else "open"
        yield from tickets.opened(ticket, payload, source, state)
        return
    if kind in _FIELDS or kind == "tags_changed":
        before, after = _views(kind, payload, told)
        yield from tickets.changed(ticket, before, after, source)
        return
    aside = left_aside(source, payload)
    if isinstance(aside, IgnoredByRule):
        yield Ignored("", aside.reason)
    elif kind == "status_changed":
        states = [source.states.of(_word(told.get(name))) for name in ("previous", "current")]
        yield from tickets.moved(ticket, states[0], states[1], source)
    elif kind == "comment_added":
        comment = told.get("comment")
        if not isinstance(comment, dict):
            yield Refused("", "invalid", "event.comment: expected an object")
            return
        by, text = _author(comment.get("author")), comment.get("body")
        given = text if isinstance(text, str) else None
        yield from tickets.commented(ticket._replace(by=by), given, comment.get("is_public") is True, source)
    else:
        yield Ignored("", f"ticket.{kind[:80]} changes nothing of an incident")


def _ticket(payload: dict[str, Any], source: Source) -> Ticket:
    """Raises ValueError naming what is missing."""
    detail = payload.get("detail")
    if not isinstance(detail, dict):
        raise ValueError("detail: expected an object")
    key, event_id = _word(detail.get("id")), _word(payload.get("id"))
    for name, value in (
        ("detail.id", key),
        ("id", event_id),
        ("time", payload.get("time")),
        ("detail.created_at", detail.get("created_at")),
    ):
        if not isinstance(value, str) or not value:
            raise ValueError(f"{name}: is missing")
    title = detail.get("subject")
    return Ticket(
        subject=f"{source.name}-{key}",
        key=cast(str, key),
        created=detail["created_at"],
        title=title if isinstance(title, str) else None,
        time=payload["time"],
        change=cast(str, event_id),
        by=None,
    )


def _views(kind: str, payload: dict[str, Any], told: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The payload before and after a change. `detail` may already show a later one: deliveries overtake each other."""
    detail = payload["detail"]
    if kind == "tags_changed":
        tags, added, removed = (
            _texts(values) for values in (detail.get("tags"), told.get("tags_added"), told.get("tags_removed"))
        )
        after = [tag for tag in tags if tag not in removed] + [tag for tag in added if tag not in tags]
        old = [tag for tag in after if tag not in added] + removed
        return {**payload, "detail": {**detail, "tags": old}}, {**payload, "detail": {**detail, "tags": after}}
    name = _FIELDS[kind]
    before, now = ({**detail, name: told.get(which)} for which in ("previous", "current"))
    return {**payload, "detail": before}, {**payload, "detail": now}


def _author(author: object) -> dict[str, object]:
    if not isinstance(author, dict):
        return {"kind": "system"}
    who: dict[str, object] = {"kind": "support" if author.get("is_staff") is True else "customer"}
    identity = _word(author.get("id"))
    return who if identity is None else {**who, "id": identity}


def _word(value: object) -> str | None:
    """Ids come as texts or numbers."""
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) and value != "" else None


def _texts(values: object) -> list[str]:
    return [value for value in values if isinstance(value, str)] if isinstance(values, list) else []
