"""Jira Service Management's webhooks: an issue is an incident, its comments are answers, its status pauses and ends it.

The id of an issue stays when it moves to another project, its key does not; so the incident is named after the id. A
change is known by `changelog.id`, a comment by its own id: both are the same in retries. Only the present status tells
whether it means done (`statusCategory`); of the one before there is just a name, which `states` explains.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from functools import partial
from typing import Any, cast

from connect.intake import signatures
from connect.intake.formats import tickets
from connect.intake.formats.jira_changes import field_name, fields_before
from connect.intake.formats.source_format import INCIDENT_KEYS, AuthenticationError, Credentials, Receipt, SourceFormat
from connect.intake.formats.tickets import Ticket
from connect.intake.mapping.classification import IgnoredByRule, classify, ignored_by_rule
from connect.intake.mapping.matching import quoted
from connect.intake.mapping.paths import quote_path
from connect.intake.mapping.rules import Source, States
from connect.intake.outcome import IgnoredItem, ItemOutcome, RejectedItem
from streams.sla.instants import LATEST, format_rfc3339, parse_rfc3339

STATES = States(
    resolved=frozenset(["done", "resolved", "closed", "completed", "canceled", "cancelled", "declined"]),
    waiting_customer=frozenset(["waiting for customer"]),
    waiting_third_party=frozenset(["waiting for third party", "pending vendor"]),
)
_STATUS = frozenset(["status", "resolution"])
_SIGNATURE = "X-Hub-Signature"
_MAX_CHANGES = 1_000


def authenticate(credentials: Credentials) -> None:
    """The signature is `sha256=` and the hexadecimal HMAC-SHA256 of the body. Raises AuthenticationError."""
    signature = credentials.headers.get(_SIGNATURE)
    if signature is None or not _signed(credentials, signature):
        raise AuthenticationError(f"{_SIGNATURE} is missing or does not fit; set the webhook's secret")


def _signed(credentials: Credentials, signature: str) -> bool:
    given, content = signature.encode(errors="replace"), credentials.content
    return signatures.any_matches(
        credentials.secrets,
        lambda secret: hmac.compare_digest(b"sha256=" + secret.sign(content).hex().encode(), given),
    )


#: Webhooks that change nothing, and why.
_IGNORED = {
    "comment_updated": "an edited comment changes nothing: its first version was published",
    "comment_deleted": "a deleted comment stays an answer if it was public: no event takes an answer back",
}
_MADE_PRIVATE = "an edited comment that is internal now stays an answer if it was public: no event takes an answer back"


def translate(payload: object, source: Source, _: Receipt) -> Iterator[ItemOutcome]:
    """The outcome of one webhook; paths of the mapping look into the payload (`issue.fields.priority.name`)."""
    kind = payload.get("webhookEvent") if isinstance(payload, dict) else None
    if not isinstance(payload, dict) or not isinstance(kind, str):
        yield RejectedItem("", "invalid", "not a Jira webhook: it has no text `webhookEvent`")
        return
    if kind not in {"jira:issue_created", "jira:issue_updated", "jira:issue_deleted", "comment_created"}:
        yield _ignored(payload, kind, source)
        return
    if kind == "comment_created" and "issue" not in payload:
        yield IgnoredItem("", "a comment without its issue, as Data Center sends it, stops no clock")
        return
    try:
        ticket = _ticket(payload, kind, source)
    except ValueError as error:
        yield RejectedItem("", "invalid", str(error))
        return
    if kind == "jira:issue_created":
        fields = payload["issue"]["fields"]
        # The fields may show a later status than the first: the change has a webhook of its own then.
        untouched = fields.get("updated") == fields.get("created")
        state = _present_state(payload, source) if untouched else "open"
        yield from tickets.ticket_opened(ticket, payload, source, state)
        return
    changes, before = _changes(payload, kind, ticket, source), partial(_view_before, payload, ticket, source)
    state, deleted = _present_state(payload, source), kind == "jira:issue_deleted"
    yield from tickets.with_opening(ticket, before, changes, source, state, deleted)


def _changes(payload: dict[str, Any], kind: str, ticket: Ticket, source: Source) -> Iterator[ItemOutcome]:
    ignored = ignored_by_rule(source, payload)
    if kind == "jira:issue_updated":
        yield from _updated(payload, ticket, source, ignored)
    elif isinstance(ignored, IgnoredByRule):
        yield tickets.change_ignored(ticket, ignored.reason, ends=kind == "jira:issue_deleted")
    elif kind == "jira:issue_deleted":
        yield from tickets.ticket_deleted(ticket, source)
    else:
        comment = payload["comment"]
        text, public = comment.get("body"), comment.get("jsdPublic") is True
        given = text if isinstance(text, str) else None
        yield from tickets.comment_added(ticket._replace(by=_who(comment.get("author"))), given, public, source)


def _ignored(payload: dict[str, Any], kind: str, source: Source) -> IgnoredItem:
    issue, comment = payload.get("issue"), payload.get("comment")
    subject = f"{source.name}-{issue.get('id')}" if isinstance(issue, dict) else None
    if kind == "comment_deleted":
        return IgnoredItem("", _IGNORED[kind], "comment_deleted", subject)
    if kind == "comment_updated" and isinstance(comment, dict) and comment.get("jsdPublic") is False:
        return IgnoredItem("", _MADE_PRIVATE, "comment_made_private", subject)
    return IgnoredItem("", _IGNORED.get(kind, f"{kind[:80]} changes nothing of an incident"))


def _updated(
    payload: dict[str, Any], ticket: Ticket, source: Source, ignored: IgnoredByRule | None
) -> Iterator[ItemOutcome]:
    log = payload.get("changelog")
    if not isinstance(log, dict):  # some releases announce a comment like this and send comment_created as well
        yield IgnoredItem("", "an update without a change log")
        return
    items = log.get("items")
    if not isinstance(items, list) or not all(isinstance(item, dict) and _has_texts(item) for item in items):
        yield RejectedItem("", "invalid", "changelog.items: expected a list of objects with texts")
        return
    if len(items) > _MAX_CHANGES:
        what = f"changelog.items: lists {len(items):,}; at most {_MAX_CHANGES:,} are allowed"
        yield RejectedItem("", "oversize", what)
        return
    found: list[ItemOutcome] = []
    changed = [item for item in items if item.get("field") not in _STATUS]
    if changed:
        found += _fields_changed(payload, changed, ticket, source)
    status = [item for item in items if item.get("field") == "status"]
    cleared = any(item.get("field") == "resolution" and not item.get("to") and item.get("from") for item in items)
    if isinstance(ignored, IgnoredByRule):
        done = bool(status) and _state(payload, status[-1], source) == "resolved"
        found.append(tickets.change_ignored(ticket, ignored.reason, ends=done))
    elif status:
        before = "resolved" if cleared else source.states.of(status[0].get("fromString"))
        found += tickets.status_changed(ticket, before, _state(payload, status[-1], source), source)
    elif cleared:
        found += tickets.status_changed(ticket, "resolved", _present_state(payload, source), source)
    relevant = [each for each in found if not isinstance(each, IgnoredItem) or each.unapplied or each.if_open]
    yield from relevant or found[:1] or [IgnoredItem("", "the change means nothing to an incident")]
    if status and not isinstance(ignored, IgnoredByRule) and not cleared:
        yield from _unnamed_status(payload, ticket, status, source)


def _unnamed_status(
    payload: dict[str, Any], ticket: Ticket, changes: list[dict[str, Any]], source: Source
) -> Iterator[IgnoredItem]:
    """Tells of a status that means done by its category alone, where leaving it can't be noticed: only its name tells
    that, or a resolution that is cleared."""
    before, after = changes[0].get("fromString"), changes[-1].get("toString")
    has_resolution = bool(payload["issue"]["fields"].get("resolution"))
    resolves = _state(payload, changes[-1], source) == "resolved"
    if resolves and not has_resolution and source.states.of(after) != "resolved":
        why = f"status {quoted(str(after))} resolves the incident by its category, and leaving it will not reopen it"
        yield IgnoredItem("", f"{why}: name it in states.resolved", "unnamed_status", ticket.subject)
    elif not resolves and has_resolution and source.states.of(before) == "open":
        why = f"the issue left status {quoted(str(before))} and still has a resolution, which reopens nothing"
        remedy = "name that status in states.resolved if it means resolved"
        yield IgnoredItem("", f"{why}: {remedy}", "unnamed_status", ticket.subject)


def _fields_changed(
    payload: dict[str, Any], items: list[dict[str, Any]], ticket: Ticket, source: Source
) -> Iterator[ItemOutcome]:
    state = _present_state(payload, source)
    view, unknown = _fields_undone(payload, items, ticket, source)
    if unknown:
        names = unknown | {field_name(item) for item in items}
        yield from tickets.fields_set(ticket, payload, lambda path: len(path) > 2 and path[2] in names, source, state)
        return
    yield from tickets.fields_changed(ticket, view, payload, source, state)


def _view_before(payload: dict[str, Any], ticket: Ticket, source: Source) -> dict[str, Any]:
    """The payload before an update that has an effect, so its change log is one, as far as that tells."""
    log = payload.get("changelog")
    items = log["items"] if isinstance(log, dict) and payload["webhookEvent"] == "jira:issue_updated" else []
    changed = [item for item in items if item.get("field") not in _STATUS]
    view, unknown = _fields_undone(payload, changed, ticket, source) if changed else (payload, frozenset())
    return payload if unknown else view


def _fields_undone(
    payload: dict[str, Any], items: list[dict[str, Any]], ticket: Ticket, source: Source
) -> tuple[dict[str, Any], frozenset[str]]:
    """The payload before a change of fields, and the names of those whose values before it are unknown."""
    issue = payload["issue"]
    before = fields_before(issue["fields"], items, source.paths())
    view = {**payload, "issue": {**issue, "fields": before.fields}}
    if not before.unknown and classify(source, view, ticket.title) == classify(source, payload, ticket.title):
        # A component that is gone may have stood before those that are left: a change that is none has no effect.
        before = fields_before(issue["fields"], items, source.paths(), gone_first=True)
        view["issue"] = {**issue, "fields": before.fields}
    return view, before.unknown


def _has_texts(item: dict[str, Any]) -> bool:
    """Whether the fields of a log item that are read are texts or absent."""
    names = ("field", "fieldId", "from", "fromString", "to", "toString")
    return all(item.get(name) is None or isinstance(item[name], str) for name in names)


def _state(payload: dict[str, Any], item: dict[str, Any], source: Source) -> str:
    """The state that a change led to. The category is that of the issue's present status: it counts when it is this."""
    status = payload["issue"]["fields"].get("status")
    name = item.get("toString")
    if isinstance(status, dict) and status.get("name") == name and _is_done(status):
        return "resolved"
    return source.states.of(name if isinstance(name, str) else None)


def _is_done(status: object) -> bool:
    category = status.get("statusCategory") if isinstance(status, dict) else None
    return isinstance(category, dict) and category.get("key") == "done"


def _present_state(payload: dict[str, Any], source: Source) -> str:
    """What the status means that the issue has at an event. A later status, which its fields may show already, does not
    count: it has a webhook of its own."""
    fields = payload["issue"]["fields"]
    status = fields.get("status")
    # Cloud says since when a status is of its category; `updated` may be of a later change of another field. The date
    # of the resolution says less: it may be from before the issue was reopened.
    since = fields.get("statuscategorychangedate") if _is_done(status) else None
    try:
        later = parse_rfc3339(since or fields.get("updated")) > payload["timestamp"] * 1000
    except (TypeError, ValueError):
        later = False
    if later:
        return "open"
    return _state(payload, {"toString": status.get("name")} if isinstance(status, dict) else {}, source)


def _ticket(payload: dict[str, Any], kind: str, source: Source) -> Ticket:
    """Raises ValueError naming what is missing."""
    issue = payload.get("issue")
    fields = issue.get("fields") if isinstance(issue, dict) else None
    if not isinstance(issue, dict) or not isinstance(fields, dict):
        raise ValueError("issue.fields: expected an object")
    identity, key, millis = issue.get("id"), issue.get("key"), payload.get("timestamp")
    if not isinstance(identity, str | int) or not isinstance(key, str) or not key:
        raise ValueError("issue: needs `id` and `key`")
    if not isinstance(millis, int) or not 0 <= millis <= LATEST // 1000:
        raise ValueError("timestamp: expected milliseconds since 1970")
    created, title = fields.get("created"), fields.get("summary")
    time = format_rfc3339(millis * 1000)
    if kind in {"jira:issue_created", "jira:issue_updated"} and not isinstance(created, str):
        raise ValueError("issue.fields.created: is missing")
    change = str(millis)
    if kind == "comment_created":
        comment = payload.get("comment")
        if not isinstance(comment, dict) or not isinstance(comment.get("id"), str | int):
            raise ValueError("comment: needs `id`")
        change = f"comment-{comment['id']}"
        time = comment["created"] if isinstance(comment.get("created"), str) else time
    elif kind == "jira:issue_deleted":
        change = "deleted"
    elif kind == "jira:issue_updated":
        log = payload.get("changelog")
        if isinstance(log, dict) and not isinstance(log.get("id"), str | int):
            raise ValueError("changelog: needs `id`")
        change = str(log["id"]) if isinstance(log, dict) else change
    return Ticket(
        subject=f"{source.name}-{identity}",
        key=key,
        created=cast(str, created),
        title=title if isinstance(title, str) else None,
        time=time,
        change=change,
        by=_who(payload.get("user")) if "user" in payload else None,
    )


def _who(author: object) -> dict[str, object]:
    if not isinstance(author, dict):
        return {"kind": "system"}
    # Authors of unknown type (Data Center gives none) never stop a clock: better late than wrongly met.
    kind = {"customer": "customer", "atlassian": "support"}.get(str(author.get("accountType")), "system")
    identity = author.get("accountId") or author.get("name")
    return {"kind": kind, "id": identity} if isinstance(identity, str) else {"kind": kind}


def _looks_like(payload: object) -> bool:
    return isinstance(payload, dict) and "webhookEvent" in payload


def _path_problem(names: tuple[str, ...]) -> str | None:
    match names:
        case (_, "id" | "key" | "self") | (_, "fields", _, *_):
            return None
    field = quote_path(("issue", "fields", *(names[1:] or ("priority", "name"))))
    return f"an issue has id, key, self and fields; allowed: {field if names[1:] != ('fields',) else 'issue.fields.…'}"


FORMAT = SourceFormat(
    name="jira",
    authenticate=authenticate,
    looks_like=_looks_like,
    translate=translate,
    keys=(*INCIDENT_KEYS, "opening_with_updates"),
    payload_roots=("issue",),
    path_problem=_path_problem,
    default_states=STATES,
    signature_header=_SIGNATURE,
)
