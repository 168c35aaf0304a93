"""Plain JSON over HTTP: one address for each kind of fact, the contract's fields in the body, nothing else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from connect.intake.formats import json_body
from connect.intake.mapping.rules import Source
from connect.intake.outcome import Fact, Outcome, Refused, event
from schemas import registry
from streams.config_files.scalars import close_to
from streams.sla.events import INCIDENT_RANK, Rejection

#: What every event may be given beside the fields of its type.
ENVELOPE = ("id", "time", "backfill", "receivedtime", "traceparent")
_RECORD_ENVELOPE = frozenset(
    ["event_id", "source", "subject", "occurred_at", "received_time", "backfill", "traceparent"]
)


class Route(NamedTuple):
    """An address and what is published there. `subject` is the field that names it, or `{id}` of the path."""

    path: str
    event_type: str
    subject: str
    does: str


def _follow_ups() -> list[Route]:
    rest = [name for name in INCIDENT_RANK if name != "incident.opened"]
    words = [(name, name.partition(".")[2]) for name in rest]
    return [
        Route(f"/v1/incidents/{{id}}/{word}", name, "{id}", f"Report {name} of an incident.") for name, word in words
    ]


ROUTES = (
    Route("/v1/incidents", "incident.opened", "incident_id", "Open an incident."),
    *_follow_ups(),
    Route("/v1/maintenance", "maintenance.scheduled", "maintenance_id", "Announce or change a maintenance window."),
    Route("/v1/maintenance/{id}/cancelled", "maintenance.cancelled", "{id}", "Cancel a maintenance window."),
    Route("/v1/contracts", "contract.set", "tenant_id", "Set a tenant's contract."),
    Route("/v1/claims", "credit.claimed", "tenant_id", "Claim a month's credit."),
)


def outcome(route: Route, path_id: str | None, headers: Mapping[str, str], content: bytes, source: Source) -> Outcome:
    """The event of a request. Its id is the one given, else a digest of what it says: a retry is the same event."""
    given = json_body.parse(content)
    if isinstance(given, Rejection):
        return Refused("", given.code, given.message)
    if not isinstance(given, dict):
        return Refused("", "invalid", "expected an object")
    names = fields_of(route)
    for name in given:
        if name not in names and name not in ENVELOPE:
            near = close_to(name, [*names, *ENVELOPE])
            return Refused("", "invalid", f"{name[:60]}: {route.event_type} has no such field{near}")
    if given.get("time") is None:
        return Refused("", "invalid", "time: is missing; say when it happened, so that a retry says the same")
    event_id = given.get("id")
    if "id" in given and not (isinstance(event_id, str) and event_id):
        return Refused("", "invalid", "id: expected a text that is not empty; without one it follows from what is said")
    subject = path_id if route.subject == "{id}" else given.get(route.subject)
    if not isinstance(subject, str) or not subject:
        return Refused("", "invalid", f"{route.subject}: is missing; expected a text")
    data = {name: value for name, value in given.items() if name not in ENVELOPE and name != "incident_id"}
    if route.event_type == "maintenance.cancelled":
        data["maintenance_id"] = subject
    made = event(
        route.event_type,
        event_id if isinstance(event_id, str) else _digest(route.event_type, subject, given),
        source.source,
        subject,
        given["time"],
        data,
    )
    # Nulls are values to the contract: `severity: null` gives an incident back to the rules.
    made["data"] = data
    made |= {name: given[name] for name in ENVELOPE[2:] if given.get(name) is not None}
    if "traceparent" not in made and "traceparent" in headers:
        made["traceparent"] = headers["traceparent"]
    return Fact("", made)


@lru_cache(maxsize=64)
def fields_of(route: Route) -> tuple[str, ...]:
    """The fields that a body may have beside the envelope's."""
    names = [str(field["name"]) for field in definition_of(route.event_type)]
    data = [name for name in names if name not in _RECORD_ENVELOPE]
    if route.subject == "{id}":
        return tuple(name for name in data if name != "maintenance_id")
    return tuple(data) if route.subject in data else (route.subject, *data)


def definition_of(event_type: str) -> list[dict[str, object]]:
    """The fields of a type as its schema file has them."""
    fields = registry.load().latest[event_type].definition["fields"]
    assert isinstance(fields, list)
    return fields


def _digest(event_type: str, subject: str, given: Mapping[str, object]) -> str:
    said = {name: value for name, value in given.items() if name not in {"traceparent", "receivedtime"}}
    text = json.dumps([event_type, subject, said], sort_keys=True, default=str)
    return f"{event_type.partition('.')[2]}-{hashlib.sha256(text.encode()).hexdigest()[:32]}"
