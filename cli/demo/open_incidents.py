"""Incidents that `sla demo --keep` leaves open, so that the board has deadlines that count down."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from streams.sla.instants import HOUR, MINUTE, format_rfc3339

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
