"""What `sla demo --keep` adds for people to work with: open incidents, whose deadlines count down on the board, and a
month with a credit that can be claimed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from streams.sla.instants import DAY, HOUR, MINUTE, format_rfc3339, parse_rfc3339

_SUPPORT = {"who": {"kind": "support", "id": "kim"}}
_PUBLIC = {**_SUPPORT, "visibility": "public", "text": "We have found the cause and are working on it."}


class _Step(NamedTuple):
    """An event so long before now."""

    ago: int
    incident: str
    kind: str
    data: Mapping[str, object]


def _opened(component: str, impact: str, channel: str, summary: str, tenant: str | None) -> dict[str, object]:
    scope = {"scope": "platform"} if tenant is None else {"scope": "tenants", "tenant_ids": [tenant]}
    return {**scope, "component": component, "impact": impact, "channel": channel, "summary": summary}


_STEPS = (
    _Step(3 * HOUR, "demo-pages", "incident.opened", _opened(
        "pages", "processing_delay", "ticket", "New versions of sites appear late.", "harbour-press")),
    _Step(150 * MINUTE, "demo-pages", "incident.responded", _SUPPORT),
    _Step(140 * MINUTE, "demo-pages", "incident.waiting", {"on": "customer"}),
    _Step(117 * MINUTE, "demo-git", "incident.opened", _opened(
        "git_operations", "complete_outage", "phone", "Pushes and clones fail.", "acme")),
    _Step(100 * MINUTE, "demo-api", "incident.opened", _opened(
        "api_requests", "material_aspect", "phone", "Every tenth request takes half a minute.", "tokyo-trading")),
    _Step(95 * MINUTE, "demo-api", "incident.responded", _SUPPORT),
    _Step(12 * MINUTE, "demo-api", "incident.updated", _PUBLIC),
    _Step(5 * MINUTE, "demo-webhooks", "incident.opened", _opened(
        "webhooks", "cosmetic", "ticket", "A label in the settings is misspelt.", None)),
)  # fmt: skip


def open_incident_lines(now: int) -> Iterator[str]:
    """The JSON lines of incidents that are open at `now` (microseconds): one whose response
    deadline passes within three minutes, one with a missed update, one
    that waits for its customer, one of low severity."""
    for number, step in enumerate(_STEPS):
        yield json.dumps(
            {
                "specversion": "1.0",
                "id": f"{step.incident}-{number}-{now}",
                "type": step.kind,
                "source": "/demo",
                "subject": f"{step.incident}-{now // HOUR}",
                "time": format_rfc3339(now - step.ago),
                "data": step.data,
            }
        )


_TENANT = "northwind"
#: Of every month that is between 2 and 3 %: one full point under 99 %.
_OUTAGE = 18 * HOUR
#: The policy of the demo wants one every two hours.
_UPDATE_EVERY = 100 * MINUTE


def claimable_month_lines(now: int) -> Iterator[str]:
    """The JSON lines of history, to be published as backfill: a tenant, and its outage in the latest month that has a
    final statement at `now` (microseconds). Its credit can be claimed."""
    start = _month_start(_month_start(now - 4 * DAY) - DAY)
    began = start + 9 * DAY + 8 * HOUR
    contract = {
        "tenant_id": _TENANT,
        "valid_from": format_rfc3339(start),
        "plan": "code-hosting",
        "monthly_charge": {"amount_minor": 240_000, "currency": "USD"},
        "tier": 2,
        "emergency_member": True,
    }
    incident = f"demo-outage-{format_rfc3339(start)[:7]}"
    # P2 with a contract and without: workers may read the contract after the incident.
    opening = _opened("git_operations", "material_aspect", "monitor", "A storage cluster lost its quorum.", _TENANT)
    facts: list[tuple[str, str, int, Mapping[str, object]]] = [
        ("contract.set", _TENANT, start, contract),
        ("incident.opened", incident, began, opening),
        ("incident.responded", incident, began + 10 * MINUTE, _SUPPORT),
    ]
    for at in range(began + 10 * MINUTE + _UPDATE_EVERY, began + _OUTAGE, _UPDATE_EVERY):
        facts.append(("incident.updated", incident, at, _PUBLIC))
    facts.append(("incident.resolved", incident, began + _OUTAGE, {}))
    for number, (kind, subject, at, data) in enumerate(facts):
        event = {"specversion": "1.0", "id": f"{incident}-{number}", "type": kind, "source": "/demo"}
        yield json.dumps({**event, "subject": subject, "time": format_rfc3339(at), "data": data})


def _month_start(instant: int) -> int:
    """The start of the calendar month (UTC) that an instant is in."""
    return parse_rfc3339(format_rfc3339(instant)[:8] + "01T00:00:00Z")
