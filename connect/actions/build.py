"""The event of an action, from the values of its form: pure, and checked like every event that is published."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping

from connect.actions.catalogue import BY_RULES, Action
from connect.actions.form import ReadForm
from connect.actions.outcome import FormProblem, JsonEvent
from connect.client.errors import InvalidEvent
from connect.client.outgoing import checked_record
from streams.sla.arrival import TimeLimits
from streams.sla.events import Who
from streams.sla.instants import format_rfc3339

#: The namespace of the ids of events that people caused: UUIDv5 of the DNS namespace and "actions.sla-clocks".
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "actions.sla-clocks")
#: Fields of forms that are for the check alone.
_NOT_SENT = frozenset(["although_zero", "confirm_tenant"])
#: What the subject is in the data, beside the subject of the event.
_OWN_ID = {"maintenance": "maintenance_id", "credit": "tenant_id", "tenant": "tenant_id"}


def event_id(person: str, action: str, subject: str, action_id: str) -> str:
    """The id of an action's event: the same action of the same person, sent again, is the same event."""
    return str(uuid.uuid5(NAMESPACE, json.dumps([person, action, subject, action_id])))


def build(
    action: Action,
    subject: str,
    form: ReadForm,
    who: Who,
    *,
    source: str,
    identity: str,
    now: int,
    approver: Who | None = None,
) -> dict[str, object]:
    """The event in the JSON form. `identity` is its id, `now` when it happens (microseconds)."""
    assert action.event_type is not None, f"{action.name} publishes no event of its own"
    data = {name: _value(name, value) for name, value in form.values.items() if name not in _NOT_SENT}
    if (own := _OWN_ID.get(action.subject)) is not None:
        data[own] = subject
    if action.event_type == "maintenance.scheduled":
        data.setdefault("announced_at", format_rfc3339(now))
    data["who"] = as_json(who)
    if approver is not None:
        data["approver"] = as_json(approver)
    return {
        "specversion": "1.0",
        "id": identity,
        "type": action.event_type,
        "source": source,
        "subject": subject,
        "time": format_rfc3339(now),
        "data": data,
    }


def as_json(who: Who) -> dict[str, str]:
    """A person in the JSON form."""
    return {"kind": who.kind, **({} if who.id is None else {"id": who.id})}


def with_fields(event: JsonEvent, fields: Mapping[str, object]) -> JsonEvent:
    """The event with more fields in its data."""
    data = event["data"]
    assert isinstance(data, Mapping)
    return {**event, "data": {**data, **fields}}


def event_problem(event: JsonEvent, now: int, limits: TimeLimits) -> FormProblem | None:
    """Why the product would reject the event if it arrived now."""
    try:
        checked_record(event, now, limits)
    except InvalidEvent as error:
        message = str(error).removeprefix(f"{event.get('type')} {event.get('subject')}: ")
        field = error.field or ""
        return FormProblem(
            field, "check", {"message": message.removeprefix(f"data.{field}: ").removeprefix(f"{field}: ")}
        )
    return None


def _value(name: str, value: str | list[str]) -> object:
    match name, value:
        case "tier", str():
            return int(value)
        case "severity", str():
            return None if value == BY_RULES else value
        case "counts_as_downtime", str():
            return value == "yes"
        case _:
            return value


def concerned_tenants(state: Mapping[str, object]) -> frozenset[str] | None:
    """The tenants that an incident names; None where it concerns the platform."""
    tenants = state.get("tenant_ids")
    return frozenset(tenants) if state.get("scope") == "tenants" and isinstance(tenants, list) else None
