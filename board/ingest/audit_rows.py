"""Events of the audit log to rows, and rows without the names of erased tenants (R29). Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from board.ingest.records import IngestRecord
from board.ingest.rows import Row, RowLike, text_of
from board.store.events import json_text
from connect.actions.catalogue import ACTIONS
from streams.sla.erasure import ERASED, Erasures

#: Fields that `data` has. What people wrote about a proposal is with the proposal alone.
_STORED = ("roles", "tenants", "what", "reason", "proposal_id", "event_ids", "events", "concerned")
_STORED_OF_PROPOSALS = ("proposal_id", "kind", "revision")
_PROPOSAL = "action."
#: What is done to incidents besides the actions: refused decisions about proposals.
_DECISIONS = frozenset({"approve", "decline", "withdraw"})
_KINDS = {"incident": "incident", "maintenance": "maintenance", "tenant": "tenant", "credit": "tenant"}
#: What follows it in the path of a request begins with a tenant's id.
_TENANTS = "/tenants/"
#: Segments of a path that are taken for a tenant's id: an id may contain slashes.
_MOST_SEGMENTS = 8
_LONGEST = 256


def audit_event(record: IngestRecord, event_type: str, fields: Mapping[str, Any]) -> Row:
    """The row of an event. What a decision is about is known once `about_proposal` adds it."""
    proposal = event_type.startswith(_PROPOSAL)
    action: str | None = fields.get("action")
    about: str | None = fields.get("incident_id" if proposal else "about")
    if event_type == "audit.denied":
        action, about = _denied_action(about or "")
    names = _STORED_OF_PROPOSALS if proposal else _STORED
    data = {name: fields[name] for name in names if fields.get(name) is not None}
    if proposal and fields.get("tenants") is not None:
        data["concerned"] = sorted(fields["tenants"])
    return {
        "event_id": fields["event_id"],
        "type": event_type,
        "occurred_at": fields["occurred_at"],
        "person": text_of(fields["person"]),
        "address": text_of(fields["address"]),
        "way": text_of(fields["way"]),
        "action": text_of(action),
        "about_kind": _kind(action),
        "about": text_of(about),
        "outcome": event_type.removeprefix(_PROPOSAL) if proposal else text_of(fields["outcome"]),
        "partition": record.partition,
        "offset": record.offset,
        "data": json_text(data),
    }


def proposal_of(row: RowLike) -> str | None:
    """The proposal whose incident a row lacks: it is a decision."""
    if not row["type"].startswith(_PROPOSAL) or row["type"] == "action.proposed":
        return None
    return str(json.loads(row["data"])["proposal_id"])


def about_proposal(row: RowLike, incident_id: str, action: str, tenants: Iterable[str] | None) -> Row:
    """A row with what its proposal is about."""
    data = json.loads(row["data"]) | {"proposal_id": proposal_of(row), "proposed": action}
    if tenants is not None:
        data["concerned"] = sorted(tenants)
    return dict(row) | {"about_kind": "incident", "about": incident_id, "data": json_text(data)}


def named_in(row: RowLike) -> frozenset[str]:
    """Every tenant that a row names, and parts of addresses that may be one."""
    data = json.loads(row["data"])
    found = {*data.get("tenants", ()), *data.get("concerned", ())}
    if row["about_kind"] == "tenant" and row["about"]:
        found.add(row["about"])
    elif row["about_kind"] is None:
        found.update(_in_path(row["about"] or ""))
    return frozenset(found)


def redacted_audit(row: RowLike, erasures: Erasures) -> Row:
    """A row with pseudonyms of erased tenants. Where the person was one of theirs, without person and address."""
    data = json.loads(row["data"])
    for name in ("tenants", "concerned"):
        if name in data:
            data[name] = sorted(erasures.names(tuple(data[name])))
    about = row["about"]
    if row["about_kind"] == "tenant" and about:
        about = erasures.name(about)
    elif row["about_kind"] is None and about:
        about = _redacted_path(about, erasures)
    limits = data.get("concerned", ()) if data.get("kind") == "customer" else data.get("tenants", ())
    changed = dict(row) | {"about": about}
    if any(each in erasures for each in limits):
        data.pop("reason", None)  # it may name the person
        changed |= {"person": ERASED, "address": ""}
    return changed | {"data": json_text(data)}


def _kind(action: str | None) -> str | None:
    if action in _DECISIONS:
        return "incident"
    return _KINDS.get(ACTIONS[action].subject) if action is not None and action in ACTIONS else None


def _denied_action(about: str) -> tuple[str | None, str]:
    """The action and its subject that somebody was refused; None and the text where it was an address."""
    action, _, subject = about.partition(" ")
    return (action, subject) if action in ACTIONS else (None, about)


def _in_path(text: str) -> Iterator[str]:
    """What may be the tenant of a path, the shortest first."""
    _, found, rest = text.partition(_TENANTS)
    segments = rest.split("/") if found else []
    names = ("/".join(segments[:count]) for count in range(1, min(len(segments), _MOST_SEGMENTS) + 1))
    return (name for name in names if 0 < len(name) <= _LONGEST)


def _redacted_path(text: str, erasures: Erasures) -> str:
    for name in _in_path(text):
        if erasures.name(name) != name:
            head, _, rest = text.partition(_TENANTS)
            return f"{head}{_TENANTS}{erasures.name(name)}{rest[len(name) :]}"
    return text
