"""Zendesk's event webhooks: a ticket is an incident, its comments are answers, its status pauses and ends it.

Deliveries come in any order and more than once. Each event carries its own time and id, and that is all that is used:
the agents order facts by time (R2), so `event.meta.sequence` is not needed. Letter case of values varies; it is folded.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Iterator
from typing import Any, cast

from connect.intake import signatures
from connect.intake.formats import tickets
from connect.intake.formats.source_format import INCIDENT_KEYS, AuthenticationError, Credentials, Receipt, SourceFormat
from connect.intake.formats.tickets import Ticket
from connect.intake.mapping.classification import IgnoredByRule, ignored_by_rule
from connect.intake.mapping.rules import Source, States
from connect.intake.outcome import IgnoredItem, ItemOutcome, RejectedItem
from streams.sla.instants import SECOND, parse_rfc3339

PREFIX = "zen:event-type:ticket."
STATES = States(
    resolved=frozenset(["solved", "closed", "archived"]),
    waiting_customer=frozenset(["pending"]),
    waiting_third_party=frozenset(["hold"]),
)
#: Event → the field of `detail` whose previous and current value it carries.
_FIELDS = {
    "priority_changed": "priority",
    "type_changed": "type",
    "ticket_type_changed": "type",
    "organization_changed": "organization_id",
    "group_assignment_changed": "group_id",
    "brand_changed": "brand_id",
    "form_changed": "form_id",
    "requester_changed": "requester_id",
    "submitter_changed": "submitter_id",
    "agent_assignment_changed": "assignee_id",
    "external_id_changed": "external_id",
    "custom_status_changed": "custom_status",
    "subject_changed": "subject",
    "description_changed": "description",
}


_DELETED_FOR_GOOD = "permanently_deleted"
_DELETED = frozenset(["soft_deleted", _DELETED_FOR_GOOD, "marked_as_spam"])
#: Events that change nothing, and why.
_IGNORED = {
    "comment_made_private": "a comment that is made private stays an answer: no event takes an answer back",
    "comment_redacted": "a redacted comment changes nothing: it was published",
    "merged": "a merged ticket changes nothing: merge or annul its incident by hand",
}
#: Those that change the incident in a way that no event of a ticket system can express.
_UNAPPLIED = frozenset(["comment_made_private", "merged"])
_SIGNATURE = "X-Zendesk-Webhook-Signature"
_TIMESTAMP = "X-Zendesk-Webhook-Signature-Timestamp"


def authenticate(credentials: Credentials) -> None:
    """The signature is base64(HMAC-SHA256(timestamp + body)); the timestamp has to be recent.

    Raises AuthenticationError.
    """
    signature, timestamp = credentials.headers.get(_SIGNATURE), credentials.headers.get(_TIMESTAMP)
    if signature is None or timestamp is None or not _signed(credentials, signature, timestamp):
        raise AuthenticationError(f"{_SIGNATURE} is missing or does not fit; set the webhook's signing secret")
    if not signatures.fresh(timestamp, credentials.now, credentials.replay_window):
        window = credentials.replay_window // SECOND
        raise AuthenticationError(f"{_TIMESTAMP} is not within {window} s of now; check this machine's clock")


def _signed(credentials: Credentials, signature: str, timestamp: str) -> bool:
    given, message = signature.encode(errors="replace"), timestamp.encode(errors="replace") + credentials.content
    return signatures.any_matches(
        credentials.secrets, lambda secret: hmac.compare_digest(base64.b64encode(secret.sign(message)), given)
    )


def translate(payload: object, source: Source, _: Receipt) -> Iterator[ItemOutcome]:
    """The outcome of one event; paths of the mapping look into the whole payload (`detail.priority`)."""
    if not isinstance(payload, dict) or not isinstance(payload.get("type"), str):
        yield RejectedItem("", "invalid", "not a Zendesk event: it has no text `type`")
        return
    kind = payload["type"]
    if not kind.startswith(PREFIX):
        yield IgnoredItem("", f"{kind[:80]} is not an event of a ticket")
        return
    change = payload.get("event")
    given: dict[str, Any] = change if isinstance(change, dict) else {}
    try:
        ticket = _ticket(payload, source)
    except ValueError as error:
        yield RejectedItem("", "invalid", str(error))
        return
    kind = kind.removeprefix(PREFIX)
    changes = _event(kind, payload, given, ticket, source)
    if kind == _DELETED_FOR_GOOD:  # weeks after the ticket was deleted
        yield from changes
        return

    def before() -> object:
        return _views(kind, payload, given)[0] if _changes_fields(kind) else payload

    yield from tickets.with_opening(ticket, before, changes, source, _state(payload, source), kind in _DELETED)


def _event(
    kind: str, payload: dict[str, Any], change: dict[str, Any], ticket: Ticket, source: Source
) -> Iterator[ItemOutcome]:
    if kind == "created":
        detail = payload["detail"]
        # `detail` may show a later status than the first: the change has an event of its own then.
        untouched = detail.get("updated_at") == detail.get("created_at")
        state = source.states.of(_text(detail.get("status"))) if untouched else "open"
        yield from tickets.ticket_opened(ticket, payload, source, state)
        return
    if _changes_fields(kind):
        before, after = _views(kind, payload, change)
        yield from tickets.fields_changed(ticket, before, after, source, _state(payload, source))
        return
    ignored = ignored_by_rule(source, payload)
    states = [source.states.of(_text(change.get(name))) for name in ("previous", "current")]
    if isinstance(ignored, IgnoredByRule):
        solved = kind == "status_changed" and states[1] == "resolved"
        yield tickets.change_ignored(ticket, ignored.reason, ends=solved or kind in _DELETED)
    elif kind == "status_changed":
        yield from tickets.status_changed(ticket, states[0], states[1], source)
    elif kind == "comment_added":
        comment = change.get("comment")
        if not isinstance(comment, dict):
            yield RejectedItem("", "invalid", "event.comment: expected an object")
            return
        by, text = _author(comment.get("author")), comment.get("body")
        given = text if isinstance(text, str) else None
        yield from tickets.comment_added(ticket._replace(by=by), given, comment.get("is_public") is True, source)
    elif kind in _DELETED:
        yield from tickets.ticket_deleted(ticket, source)
    elif kind == "undeleted":
        state = source.states.of(_text(payload["detail"].get("status")))
        yield from tickets.status_changed(ticket, "resolved", state, source)
    else:
        reason = _IGNORED.get(kind, f"ticket.{kind[:80]} changes nothing of an incident")
        yield IgnoredItem("", reason, kind if kind in _UNAPPLIED else None, ticket.subject)


def _ticket(payload: dict[str, Any], source: Source) -> Ticket:
    """Raises ValueError naming what is missing."""
    detail = payload.get("detail")
    if not isinstance(detail, dict):
        raise ValueError("detail: expected an object")
    key, event_id = _text(detail.get("id")), _text(payload.get("id"))
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


def _changes_fields(kind: str) -> bool:
    return kind in _FIELDS or kind == "tags_changed"


def _views(kind: str, payload: dict[str, Any], change: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The payload before and after a change. `detail` may already show a later one: deliveries overtake each other."""
    detail = payload["detail"]
    if kind == "tags_changed":
        tags, added, removed = (
            _texts(values) for values in (detail.get("tags"), change.get("tags_added"), change.get("tags_removed"))
        )
        present, came, gone = map(frozenset, (tags, added, removed))  # there may be very many
        after = [tag for tag in tags if tag not in gone] + [tag for tag in added if tag not in present]
        old = [tag for tag in after if tag not in came] + removed
        return {**payload, "detail": {**detail, "tags": old}}, {**payload, "detail": {**detail, "tags": after}}
    name = _FIELDS[kind]
    before, now = ({**detail, name: change.get(which)} for which in ("previous", "current"))
    return {**payload, "detail": before}, {**payload, "detail": now}


def _state(payload: dict[str, Any], source: Source) -> str:
    """What the status means that the ticket has at an event. A later status, which `detail` may show already, does not
    count: it has an event of its own."""
    detail = payload["detail"]
    try:
        later = parse_rfc3339(detail.get("updated_at")) > parse_rfc3339(payload["time"])
    except (TypeError, ValueError):
        later = False
    return "open" if later else source.states.of(_text(detail.get("status")))


def _author(author: object) -> dict[str, object]:
    if not isinstance(author, dict):
        return {"kind": "system"}
    who: dict[str, object] = {"kind": "support" if author.get("is_staff") is True else "customer"}
    identity = _text(author.get("id"))
    return who if identity is None else {**who, "id": identity}


def _text(value: object) -> str | None:
    """Ids come as texts or numbers."""
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) and value != "" else None


def _texts(values: object) -> list[str]:
    return [value for value in values if isinstance(value, str)] if isinstance(values, list) else []


def _looks_like(payload: object) -> bool:
    return isinstance(payload, dict) and "zendesk_event_version" in payload


def _path_problem(names: tuple[str, ...]) -> str | None:
    if names[0] == "detail":
        return None if len(names) > 1 else "detail is not a text; allowed: detail and a field, such as detail.priority"
    return None if len(names) == 1 else f"{names[0]} has no parts; allowed: {names[0]}"


FORMAT = SourceFormat(
    name="zendesk",
    authenticate=authenticate,
    looks_like=_looks_like,
    translate=translate,
    keys=(*INCIDENT_KEYS, "opening_with_updates"),
    payload_roots=("detail", "account_id", "subject", "type"),
    path_problem=_path_problem,
    default_states=STATES,
    signature_header=_SIGNATURE,
)
