"""Jira Service Management's webhooks: an issue is an incident, its comments are answers, its status pauses and ends it.

The id of an issue stays when it moves to another project, its key does not; so the incident is named after the id. A
change is known by `changelog.id`, a comment by its own id: both are the same in retries. Only the present status tells
whether it means done (`statusCategory`); of the one before there is just a name, which `states` explains.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from connect.intake.formats import tickets
from connect.intake.formats.tickets import Ticket
from connect.intake.mapping.rules import IgnoredByRule, Source, States, left_aside
from connect.intake.outcome import Ignored, Outcome, Refused
from streams.sla.instants import LATEST, format_rfc3339

STATES = States(
    resolved=frozenset(["done", "resolved", "closed", "completed", "canceled", "cancelled", "declined"]),
    waiting_customer=frozenset(["waiting for customer"]),
    waiting_third_party=frozenset(["waiting for third party", "pending vendor"]),
)
_STATUS = frozenset(["status", "resolution"])


def outcomes(payload: object, source: Source) -> Iterator[Outcome]:
    """What one webhook becomes; paths of the mapping look into the payload (`issue.fields.priority.name`)."""
    kind = payload.get("webhookEvent") if isinstance(payload, dict) else None
    if not isinstance(payload, dict) or not isinstance(kind, str):
        yield Refused("", "invalid", "no webhook of Jira: it has no text `webhookEvent`")
        return
    if kind not in {"jira:issue_created", "jira:issue_updated", "comment_created"}:
        yield Ignored("", f"{kind[:80]} changes nothing of an incident")
        return
    try:
        ticket = _ticket(payload, kind, source)
    except ValueError as error:
        yield Refused("", "invalid", str(error))
        return
    if kind == "jira:issue_created":
        fields = payload["issue"]["fields"]
        status = fields.get("status")
        first = {"toString": status.get("name")} if isinstance(status, dict) else {}
        # The fields may show a later status than the first: its change is then told of by itself.
        untouched = fields.get("updated") == fields.get("created")
        yield from tickets.opened(ticket, payload, source, _state(payload, first, source) if untouched else "open")
        return
    aside = left_aside(source, payload)
    if kind == "jira:issue_updated":
        yield from _updated(payload, ticket, source, aside)
    elif isinstance(aside, IgnoredByRule):
        yield Ignored("", aside.reason)
    else:
        comment = payload["comment"]
        text, public = comment.get("body"), comment.get("jsdPublic") is True
        given = text if isinstance(text, str) else None
        yield from tickets.commented(ticket._replace(by=_who(comment.get("author"))), given, public, source)


def _updated(payload: dict[str, Any], ticket: Ticket, source: Source, aside: IgnoredByRule | None) -> Iterator[Outcome]:
    log = payload.get("changelog")
    if not isinstance(log, dict):  # so some releases tell of a comment, which comes as comment_created as well
        yield Ignored("", "an update without a change log")
        return
    items = log.get("items")
    if not isinstance(items, list) or not all(isinstance(item, dict) and _told(item) for item in items):
        yield Refused("", "invalid", "changelog.items: expected a list of objects with texts")
        return
    found: list[Outcome] = []
    fields = [item for item in items if item.get("field") not in _STATUS]
    if fields:
        found += tickets.changed(ticket, _before(payload, fields), payload, source)
    status = [item for item in items if item.get("field") == "status"]
    if isinstance(aside, IgnoredByRule):
        found.append(Ignored("", aside.reason))
    elif status:
        cleared = any(item.get("field") == "resolution" and not item.get("to") and item.get("from") for item in items)
        before = "resolved" if cleared else source.states.of(status[0].get("fromString"))
        found += tickets.moved(ticket, before, _state(payload, status[-1], source), source)
    # A resolution that is set or cleared without a new status says nothing that the status did not say.
    telling = [each for each in found if not isinstance(each, Ignored)]
    yield from telling or found[:1] or [Ignored("", "the change means nothing to an incident")]


def _told(item: dict[str, Any]) -> bool:
    """Whether what is read of an item of the log are texts, or absent."""
    names = ("field", "fieldId", "from", "fromString", "to", "toString")
    return all(item.get(name) is None or isinstance(item[name], str) for name in names)


def _state(payload: dict[str, Any], item: dict[str, Any], source: Source) -> str:
    """The state that a change led to. The category is that of the issue's present status: it counts when it is this."""
    status = payload["issue"]["fields"].get("status")
    name = item.get("toString")
    if isinstance(status, dict) and status.get("name") == name:
        category = status.get("statusCategory")
        if isinstance(category, dict) and category.get("key") == "done":
            return "resolved"
    return source.states.of(name if isinstance(name, str) else None)


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
    if kind != "comment_created" and not isinstance(created, str):
        raise ValueError("issue.fields.created: is missing")
    change = str(millis)
    if kind == "comment_created":
        comment = payload.get("comment")
        if not isinstance(comment, dict) or not isinstance(comment.get("id"), str | int):
            raise ValueError("comment: needs `id`")
        change = f"comment-{comment['id']}"
        time = comment["created"] if isinstance(comment.get("created"), str) else time
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


def _before(payload: dict[str, Any], items: list[dict[str, Any]]) -> dict[str, Any]:
    """The payload as it was before the changes of its log, as far as a log can tell: names, not whole values."""
    issue = payload["issue"]
    fields = dict(issue["fields"])
    for item in items:
        # By its id: custom fields are called customfield_… in `fields`. A component's log says Component.
        name = item.get("fieldId") or {"Component": "components", "labels": "labels"}.get(str(item.get("field")))
        name = str(name or item.get("field"))
        old, new, now = item.get("fromString"), item.get("toString"), fields.get(name)
        if isinstance(now, list) and name == "labels":
            fields[name] = str(old or "").split()
        elif isinstance(now, list):
            kept = [
                each for each in now if not (isinstance(each, dict) and new in (each.get("name"), each.get("value")))
            ]
            fields[name] = [*kept, {"name": old, "value": old}] if old else kept
        elif isinstance(now, dict) or (now is None and new is None and old):
            whole = now if isinstance(now, dict) else {}
            fields[name] = {**whole, "id": item.get("from"), "name": old, "value": old} if old else None
        else:
            fields[name] = old
    return {**payload, "issue": {**issue, "fields": fields}}


def _who(author: object) -> dict[str, object]:
    if not isinstance(author, dict):
        return {"kind": "system"}
    # Who it is not said of, as Data Center says it of nobody, answers no clock: better late than wrongly met.
    kind = {"customer": "customer", "atlassian": "support"}.get(str(author.get("accountType")), "system")
    identity = author.get("accountId") or author.get("name")
    return {"kind": kind, "id": identity} if isinstance(identity, str) else {"kind": kind}
