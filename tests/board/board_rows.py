"""Rows of the read model, written by hand."""

from __future__ import annotations

import json
from typing import Any

from shipped import shipped_policies
from sqlalchemy import Connection, Engine

from board.app import create_app
from board.settings import BoardSettings
from board.store import tables
from streams.settings import Settings
from streams.sla.instants import HOUR, format_rfc3339

NOW = 1_790_000_000_000_000


def app_of(engine: Engine, **given: Any) -> Any:
    """The application over a database, with the policies that are shipped; `given` goes to `create_app`."""
    return create_app(engine, BoardSettings(), kafka=Settings(), policies=shipped_policies(), **given)


def add_incident(connection: Connection, incident_id: str, **given: Any) -> None:
    """An open P2 incident of tenant acme with an update clock; `given` replaces columns, and `tenant_ids`."""
    tenants = given.pop("tenant_ids", ["acme"])
    deadline = given.get("next_deadline", NOW + HOUR)
    state = {
        "clocks": [
            {
                "metric": "update",
                "instance": 1,
                "state": "running",
                "started_at": format_rfc3339(NOW),
                "deadline": None if deadline is None else format_rfc3339(deadline),
                "deadline_revision": 0,
                "warn_at": [{"threshold": 0.5, "at": format_rfc3339(NOW + HOUR // 2)}],
            }
        ]
    }
    row: dict[str, Any] = {
        "incident_id": incident_id,
        "revision": 1,
        "status": "open",
        "severity": "P2",
        "covered": True,
        "rule": "material",
        "scope": "tenants",
        "component": "api",
        "impact": "material_aspect",
        "title_en": f"P2 incident {incident_id}: API",
        "title_ja": f"P2 インシデント {incident_id}：API",
        "opened_at": NOW,
        "started_at": NOW,
        "next_deadline": deadline,
        "next_at": deadline,
        "breached": 0,
        "backfill": False,
        "policy": "scalr-emergency",
        "policy_version": "1",
        "changed_at": NOW,
        "partition": 0,
        "offset": 0,
        "data": json.dumps(state),
        **given,
    }
    connection.execute(tables.incident.insert(), {name: row[name] for name in row if name in tables.incident.c})
    for tenant in tenants:
        connection.execute(tables.incident_tenant.insert(), {"tenant_id": tenant, "incident_id": incident_id})


def add_entry(connection: Connection, incident_id: str, offset: int, **given: Any) -> None:
    """An `incident.updated` about an incident."""
    row: dict[str, Any] = {
        "topic": "incident-events",
        "partition": 0,
        "offset": offset,
        "subject": incident_id,
        "type": "incident.updated",
        "event_id": f"{incident_id}-{offset}",
        "source": "/desk",
        "occurred_at": NOW + offset,
        "arrived_at": NOW + offset,
        "backfill": False,
        "data": json.dumps({"who": {"kind": "support"}, "visibility": "public"}),
        **given,
    }
    connection.execute(tables.entry.insert(), row)
