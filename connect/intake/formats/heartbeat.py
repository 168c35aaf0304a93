"""Heartbeats of monitors: no webhook, but requests whose absence opens an incident (connect/intake/heartbeats)."""

from __future__ import annotations

import hashlib

from connect.intake.formats import bearer_token
from connect.intake.formats.source_format import SourceFormat
from connect.intake.mapping.classification import Classified, IgnoredByRule, Unmapped, classify, opened_fields
from connect.intake.mapping.monitors import MonitorRule
from connect.intake.mapping.rules import Source
from connect.intake.outcome import Event, event
from connect.intake.sortable_ids import compact
from streams.sla.instants import format_rfc3339

_FIELDS = ("name", "pattern", "wildcard")


def opened(source: Source, rule: MonitorRule, name: str, after: int, missed_at: int) -> Event | str:
    """The opening of the incident of a monitor that was last heard at `after` and is silent from `missed_at` on, or why
    the mapping gives none. It depends on these instants and the mapping alone, so every intake publishes the same one.

    The outage began when the heartbeat was due, `grace` before its absence counts.
    """
    found = classify(source, rule.view(name), f"no heartbeat of {name} since {format_rfc3339(after)}")
    match found:
        case Unmapped(reason) | IgnoredByRule(reason):
            return reason
        case Classified():
            data = opened_fields(found, "monitor")
            data["started_at"] = format_rfc3339(missed_at - rule.grace)
    subject = incident_of(source.name, name, after)
    return event(
        "incident.opened", _event_id("opened", subject), source.source, subject, format_rfc3339(missed_at), data
    )


def resolved(source: Source, name: str, after: int, ended_at: int) -> Event:
    """The end of that incident: the heartbeat at `ended_at`."""
    subject, at = incident_of(source.name, name, after), format_rfc3339(ended_at)
    event_id = _event_id("resolved", f"{subject} {at}")
    return event("incident.resolved", event_id, source.source, subject, at, {"who": {"kind": "monitor", "id": name}})


def incident_of(source: str, name: str, after: int) -> str:
    """The id of an incident: at most 126 characters."""
    return f"{source}-{name}-{compact(after)}"


def _event_id(what: str, identity: str) -> str:
    return f"{what}-{hashlib.sha256(identity.encode()).hexdigest()[:32]}"


def _path_problem(names: tuple[str, ...]) -> str | None:
    if len(names) == 2 and names[1] in _FIELDS:
        return None
    return f"a monitor has no such field; allowed: {', '.join(f'monitor.{field}' for field in _FIELDS)}"


FORMAT = SourceFormat(
    name="heartbeat",
    authenticate=bearer_token.authenticate,
    looks_like=lambda _: False,
    keys=("component", "impact", "tier", "tenants", "summary", "monitors"),
    required_keys=("monitors", "component", "impact", "tenants"),
    payload_roots=("monitor",),
    path_problem=_path_problem,
    heartbeats=True,
)
