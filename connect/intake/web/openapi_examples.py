"""One example for each address of the intake. The OpenAPI document shows them; a test sends them."""

from __future__ import annotations

from typing import Any

_WHO = {"kind": "support", "id": "kim"}
_TWO = {"who": _WHO, "approver": {"kind": "support", "id": "alex"}}

#: Event type → the body of plain JSON.
EXAMPLES: dict[str, dict[str, Any]] = {
    "incident.opened": {
        "incident_id": "inc-42",
        "time": "2026-04-10T08:00:00Z",
        "scope": "tenants",
        "tenant_ids": ["acme"],
        "component": "api",
        "impact": "complete_outage",
        "channel": "phone",
        "started_at": "2026-04-10T07:52:00Z",
        "summary": "every request answers 503",
    },
    "incident.reopened": {"time": "2026-04-11T09:00:00Z", "reason": "it fails again"},
    "incident.linked": {"time": "2026-04-10T08:05:00Z", "ticket_id": "5158"},
    "incident.reclassified": {"time": "2026-04-10T08:30:00Z", "impact": "material_aspect"},
    "incident.severity_set": {"time": "2026-04-10T08:40:00Z", "severity": "P1", "who": _WHO, "reason": "a launch day"},
    "incident.policy_applied": {
        "time": "2026-04-10T08:41:00Z",
        "policy": "scalr-emergency",
        "version": "1",
        "reason": "the contract says so",
        **_TWO,
    },
    "incident.amended": {
        "time": "2026-04-12T10:00:00Z",
        "restored_at": "2026-04-10T23:40:00Z",
        "reason": "measured later",
        **_TWO,
    },
    "incident.responded": {"time": "2026-04-10T08:25:00Z", "who": _WHO},
    "incident.updated": {
        "time": "2026-04-10T08:50:00Z",
        "who": _WHO,
        "visibility": "public",
        "text": "a failed volume is being replaced",
    },
    "incident.waiting": {"time": "2026-04-10T09:00:00Z", "on": "customer"},
    "incident.waiting_ended": {"time": "2026-04-10T09:30:00Z", "on": "customer"},
    "incident.update_requested": {"time": "2026-04-10T09:40:00Z", "who": {"kind": "customer", "id": "pat"}},
    "incident.merged": {"time": "2026-04-10T09:50:00Z", "into": "inc-41"},
    "incident.resolved": {"time": "2026-04-11T00:05:00Z", "restored_at": "2026-04-10T23:58:00Z"},
    "incident.annulled": {"time": "2026-04-12T10:00:00Z", "reason": "a test of the monitors", **_TWO},
    "maintenance.scheduled": {
        "maintenance_id": "m-7",
        "time": "2026-04-01T12:00:00Z",
        "scope": "platform",
        "components": ["api"],
        "start": "2026-04-20T02:00:00Z",
        "end": "2026-04-20T04:00:00Z",
        "announced_at": "2026-04-01T12:00:00Z",
    },
    "maintenance.cancelled": {"time": "2026-04-19T12:00:00Z"},
    "contract.set": {
        "tenant_id": "acme",
        "time": "2026-03-01T00:00:00Z",
        "valid_from": "2026-03-01T00:00:00Z",
        "plan": "scalr-emergency",
        "monthly_charge": {"amount_minor": 500000, "currency": "USD"},
        "tier": 2,
        "emergency_member": True,
    },
    "credit.claimed": {
        "tenant_id": "acme",
        "time": "2026-05-06T09:00:00Z",
        "month": "2026-04",
        "who": {"kind": "customer", "id": "pat"},
    },
}

STRUCTURED_EXAMPLE: dict[str, Any] = {
    "specversion": "1.0",
    "id": "inc-42-opened",
    "type": "incident.opened",
    "source": "/monitors/eu",
    "subject": "inc-42",
    "time": "2026-04-10T08:00:00Z",
    "data": {"scope": "platform", "component": "api", "impact": "complete_outage", "channel": "monitor"},
}
