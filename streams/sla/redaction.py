"""Redacted records of events: without texts, persons and external ids, which no decision needs (R29)."""

from __future__ import annotations

from streams.sla.events import Event, Money, Who

#: Placeholders where the schema requires a person or a text. Two different persons keep four eyes valid (R17).
_SOMEONE = {"kind": "system", "id": None}
_WHO, _APPROVER = {"kind": "system", "id": "erased-1"}, {"kind": "system", "id": "erased-2"}
_EYES: dict[str, object] = {"who": _WHO, "approver": _APPROVER, "reason": ""}

#: Event type → the fields that are not kept.
_ABSENT: dict[str, dict[str, object]] = {
    "incident.opened": {"summary": None, "ticket_id": None, "language": None},
    "incident.updated": {"text": None},
    "incident.severity_set": {"reason": ""},
    "incident.waiting": {"who": None},
    "incident.waiting_ended": {"who": None},
    "incident.resolved": {"who": None},
    "incident.reopened": {"reason": None, "who": None},
    "incident.reclassified": {"who": None},
    "incident.linked": {"who": None},
    "incident.merged": {"who": None},
    "incident.amended": _EYES,
    "incident.policy_applied": _EYES,
    "incident.annulled": _EYES,
    "contract.set": {"who": None},
    "maintenance.scheduled": {"who": None},
    "maintenance.cancelled": {"who": None},
    "credit.claimed": {"who": _SOMEONE},
    "tenant.erased": {"who": _SOMEONE, "reason": ""},
}
_OWN_ID = {"maintenance": "maintenance_id", "contract": "tenant_id", "credit": "tenant_id", "tenant": "tenant_id"}


def redacted_record(event: Event) -> dict[str, object]:
    """The record of an accepted event, with the fields that its payload has; `facts.to_event` reads it back with an
    equal payload, apart from persons' ids, summary and ticket."""
    record: dict[str, object] = {
        "event_id": event.id,
        "source": event.source,
        "subject": event.subject,
        "occurred_at": event.time,
        "backfill": event.backfill,
        "received_time": event.received,
        "traceparent": None,
        **{name: _plain(value) for name, value in event.payload._asdict().items()},
        **_ABSENT.get(event.type, {}),
    }
    own = _OWN_ID.get(event.type.partition(".")[0])
    if own is not None:
        record[own] = event.subject
    return record


def _plain(value: object) -> object:
    if isinstance(value, Who):
        return {"kind": value.kind, "id": None}
    if isinstance(value, tuple):
        return value._asdict() if isinstance(value, Money) else list(value)
    return value
