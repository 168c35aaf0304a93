"""Plain JSON over HTTP: one address for each event type, the contract's fields in the body, nothing else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from connect.intake.formats import bearer_token, json_body
from connect.intake.formats.source_format import EVENT_KEYS, SourceFormat
from connect.intake.mapping.rules import Source
from connect.intake.outcome import EventItem, ItemOutcome, RejectedItem, event
from schemas import registry
from streams.config_files.scalars import close_to
from streams.sla.events import INCIDENT_RANK, Rejection

#: Fields that every event may have beside those of its type.
ENVELOPE = ("id", "time", "backfill", "receivedtime", "traceparent")
_RECORD_ENVELOPE = frozenset(
    ["event_id", "source", "subject", "occurred_at", "received_time", "backfill", "traceparent"]
)


class RestRoute(NamedTuple):
    """An address and the event type published there. `subject` is the field of the subject, or `{id}` of the path."""

    path: str
    event_type: str
    subject: str
    summary: str


def _follow_ups() -> list[RestRoute]:
    rest = [name for name in INCIDENT_RANK if name != "incident.opened"]
    words = [(name, name.partition(".")[2]) for name in rest]
    return [
        RestRoute(f"/v1/incidents/{{id}}/{word}", name, "{id}", f"Report {name} of an incident.")
        for name, word in words
    ]


ROUTES = (
    RestRoute("/v1/incidents", "incident.opened", "incident_id", "Open an incident."),
    *_follow_ups(),
    RestRoute("/v1/maintenance", "maintenance.scheduled", "maintenance_id", "Announce or change a maintenance window."),
    RestRoute("/v1/maintenance/{id}/cancelled", "maintenance.cancelled", "{id}", "Cancel a maintenance window."),
    RestRoute("/v1/contracts", "contract.set", "tenant_id", "Set a tenant's contract."),
    RestRoute("/v1/claims", "credit.claimed", "tenant_id", "Claim a month's credit."),
)


def outcome(route: RestRoute, path_id: str | None, content: bytes, source: Source) -> ItemOutcome:
    """The event of a request. Its id is the one given, else a digest of the body, so retries are idempotent."""
    given = json_body.parse(content)
    if isinstance(given, Rejection):
        return RejectedItem("", given.code, given.message)
    if not isinstance(given, dict):
        return RejectedItem("", "invalid", "expected an object")
    names = fields_of(route)
    for name in given:
        if name not in names and name not in ENVELOPE:
            near = close_to(name, [*names, *ENVELOPE])
            return RejectedItem("", "invalid", f"{name[:60]}: {route.event_type} has no such field{near}")
    if given.get("time") is None:
        return RejectedItem(
            "", "invalid", "time: is missing; give the time it happened, so that a retry is the same event"
        )
    event_id = given.get("id")
    if "id" in given and not (isinstance(event_id, str) and event_id):
        return RejectedItem(
            "", "invalid", "id: expected a text that is not empty; leave it out to use a digest of the body"
        )
    subject = path_id if route.subject == "{id}" else given.get(route.subject)
    if not isinstance(subject, str) or not subject:
        return RejectedItem("", "invalid", f"{route.subject}: is missing; expected a text")
    data = {name: value for name, value in given.items() if name not in ENVELOPE and name != "incident_id"}
    if route.event_type == "maintenance.cancelled":
        data["maintenance_id"] = subject
    built = event(
        route.event_type,
        event_id if isinstance(event_id, str) else _digest(route.event_type, subject, given),
        source.source,
        subject,
        given["time"],
        data,
    )
    # Nulls are values to the contract: `severity: null` gives an incident back to the rules.
    built["data"] = data
    built |= {name: given[name] for name in ENVELOPE[2:] if given.get(name) is not None}
    return EventItem("", built)


@lru_cache(maxsize=64)
def fields_of(route: RestRoute) -> tuple[str, ...]:
    """The fields that a body may have beside the envelope's."""
    names = [str(field["name"]) for field in definition_of(route.event_type)]
    data = [name for name in names if name not in _RECORD_ENVELOPE]
    if route.subject == "{id}":
        return tuple(name for name in data if name != "maintenance_id")
    return tuple(data) if route.subject in data else (route.subject, *data)


def definition_of(event_type: str) -> list[dict[str, object]]:
    """The fields of a type in its schema file."""
    fields = registry.load().latest[event_type].definition["fields"]
    assert isinstance(fields, list)
    return fields


def _digest(event_type: str, subject: str, given: Mapping[str, object]) -> str:
    content = {name: value for name, value in given.items() if name not in {"traceparent", "receivedtime"}}
    text = json.dumps([event_type, subject, content], sort_keys=True, default=str)
    return f"{event_type.partition('.')[2]}-{hashlib.sha256(text.encode()).hexdigest()[:32]}"


def _looks_like(payload: object) -> bool:
    """Plain JSON has no distinctive field; CloudEvents, which such sources also send, have one."""
    return isinstance(payload, list) or (isinstance(payload, dict) and "specversion" in payload)


FORMAT = SourceFormat(
    name="api",
    authenticate=bearer_token.authenticate,
    looks_like=_looks_like,
    keys=EVENT_KEYS,
    required_keys=(),
)
