"""One payload builder per input event type: the checks of its own fields (R16, R17, R28) and its typed payload."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from streams.sla.events import (
    Amended,
    Annulled,
    ContractSet,
    CreditClaimed,
    Linked,
    MaintenanceCancelled,
    MaintenanceScheduled,
    Merged,
    Opened,
    Payload,
    PolicyApplied,
    Reclassified,
    Reopened,
    Resolved,
    Responded,
    SeveritySet,
    TenantErased,
    Updated,
    UpdateRequested,
    Waiting,
    WaitingEnded,
)
from streams.sla.limits import (
    InvalidInputError,
    check_four_eyes,
    check_id,
    check_ids,
    check_instant,
    check_money,
    check_month,
    check_optional_id,
    check_optional_instant,
    check_scope,
    check_severity,
    check_symbol,
    check_text,
    check_tier,
    check_who,
    check_zone,
    invalid,
    shortened,
)

#: A record's fields; the schema vouches for their types, so they are not checked again.
Fields = Mapping[str, Any]


def _opened(f: Fields) -> Payload:
    scope, tenant_ids = check_scope(f["scope"], f["tenant_ids"])
    check_id(f["component"], "component")
    check_text(f["summary"], "summary")
    ticket_id = check_optional_id(f["ticket_id"], "ticket_id")
    check_optional_id(f["language"], "language")
    return Opened(
        scope,
        tenant_ids,
        f["component"],
        f["impact"],
        check_tier(f["tier"]),
        f["channel"],
        check_optional_instant(f["started_at"], "started_at"),
        shortened(f["summary"]),
        ticket_id,
    )


def _responded(f: Fields) -> Payload:
    return Responded(check_who(f["who"]))


def _updated(f: Fields) -> Payload:
    check_text(f["text"], "text")
    return Updated(check_who(f["who"]), check_symbol(f["visibility"], "visibility"))


def _update_requested(f: Fields) -> Payload:
    return UpdateRequested(check_who(f["who"]))


def _reclassified(f: Fields) -> Payload:
    _check_optional_who(f)
    component, impact, tier, scope, tenant_ids = f["component"], f["impact"], f["tier"], f["scope"], f["tenant_ids"]
    if component is None and impact is None and tier is None and scope is None and tenant_ids is None:
        raise invalid("data", "needs at least one of component, impact, tier, scope with tenant_ids")
    tenants: tuple[str, ...] | None = None
    if scope is not None:
        scope, tenants = check_scope(scope, tenant_ids)
    elif tenant_ids is not None:
        raise invalid("tenant_ids", "needs scope tenants beside it")
    return Reclassified(check_optional_id(component, "component"), impact, check_tier(tier), scope, tenants)


def _severity_set(f: Fields) -> Payload:
    check_text(f["reason"], "reason")
    return SeveritySet(check_severity(f["severity"]), check_who(f["who"]))


def _waiting(f: Fields) -> Payload:
    _check_optional_who(f)
    return Waiting(check_symbol(f["on"], "on"))


def _waiting_ended(f: Fields) -> Payload:
    _check_optional_who(f)
    return WaitingEnded(check_symbol(f["on"], "on"))


def _resolved(f: Fields) -> Payload:
    _check_optional_who(f)
    return Resolved(check_optional_instant(f["restored_at"], "restored_at"))


def _reopened(f: Fields) -> Payload:
    _check_optional_who(f)
    check_text(f["reason"], "reason")
    return Reopened(check_optional_instant(f["started_at"], "started_at"))


def _linked(f: Fields) -> Payload:
    _check_optional_who(f)
    ticket, call = (
        check_optional_id(f["ticket_id"], "ticket_id"),
        check_optional_id(f["phone_call_id"], "phone_call_id"),
    )
    if ticket is None and call is None:
        raise invalid("data", "needs at least one of ticket_id, phone_call_id")
    return Linked(ticket, call)


def _merged(f: Fields) -> Payload:
    _check_optional_who(f)
    into = check_id(f["into"], "into")
    if into == f["subject"]:
        raise InvalidInputError("cycle", "into: is the incident itself")
    return Merged(into)


def _amended(f: Fields) -> Payload:
    check_four_eyes(f["who"], f["approver"])
    check_text(f["reason"], "reason")
    started_at = check_optional_instant(f["started_at"], "started_at")
    restored_at = check_optional_instant(f["restored_at"], "restored_at")
    counts = f["counts_as_downtime"]
    if started_at is None and restored_at is None and counts is None:
        raise invalid("data", "needs at least one of started_at, restored_at, counts_as_downtime")
    return Amended(started_at, restored_at, counts)


def _policy_applied(f: Fields) -> Payload:
    check_four_eyes(f["who"], f["approver"])
    check_text(f["reason"], "reason")
    return PolicyApplied(check_id(f["policy"], "policy"), check_id(f["version"], "version"))


def _annulled(f: Fields) -> Payload:
    check_four_eyes(f["who"], f["approver"])
    check_text(f["reason"], "reason")
    return Annulled()


def _maintenance_scheduled(f: Fields) -> Payload:
    _check_optional_who(f)
    _check_subject(f, "maintenance_id")
    scope, tenant_ids = check_scope(f["scope"], f["tenant_ids"])
    components = check_ids(f["components"], "components")
    if not components:
        raise invalid("components", "needs at least one")
    start, end = check_instant(f["start"], "start"), check_instant(f["end"], "end")
    if end <= start:
        raise invalid("end", "is not after start")
    announced_at = check_instant(f["announced_at"], "announced_at")
    return MaintenanceScheduled(scope, tenant_ids, components, start, end, announced_at)


def _maintenance_cancelled(f: Fields) -> Payload:
    _check_optional_who(f)
    _check_subject(f, "maintenance_id")
    return MaintenanceCancelled()


def _contract_set(f: Fields) -> Payload:
    _check_optional_who(f)
    _check_subject(f, "tenant_id")
    valid_from = check_instant(f["valid_from"], "valid_from")
    valid_to = check_optional_instant(f["valid_to"], "valid_to")
    if valid_to is not None and valid_to <= valid_from:
        raise invalid("valid_to", "is not after valid_from")
    charge = check_money(f["monthly_charge"], "monthly_charge")
    plan, tier, zone = check_id(f["plan"], "plan"), check_tier(f["tier"]), check_zone(f["time_zone"])
    return ContractSet(valid_from, valid_to, plan, charge, tier, zone, f["emergency_member"])


def _credit_claimed(f: Fields) -> Payload:
    _check_subject(f, "tenant_id")
    check_who(f["who"])
    return CreditClaimed(check_month(f["month"]))


def _tenant_erased(f: Fields) -> Payload:
    _check_subject(f, "tenant_id")
    check_who(f["who"])
    check_text(f["reason"], "reason")
    return TenantErased()


def _check_subject(f: Fields, field: str) -> None:
    if f[field] != f["subject"]:
        raise invalid(field, "differs from subject")


def _check_optional_who(f: Fields) -> None:
    if f["who"] is not None:
        check_who(f["who"])


#: Event type → builder; each raises limits.RefusedError.
BUILDERS: dict[str, Callable[[Fields], Payload]] = {
    "incident.opened": _opened,
    "incident.responded": _responded,
    "incident.updated": _updated,
    "incident.update_requested": _update_requested,
    "incident.reclassified": _reclassified,
    "incident.severity_set": _severity_set,
    "incident.waiting": _waiting,
    "incident.waiting_ended": _waiting_ended,
    "incident.resolved": _resolved,
    "incident.reopened": _reopened,
    "incident.linked": _linked,
    "incident.merged": _merged,
    "incident.amended": _amended,
    "incident.policy_applied": _policy_applied,
    "incident.annulled": _annulled,
    "maintenance.scheduled": _maintenance_scheduled,
    "maintenance.cancelled": _maintenance_cancelled,
    "contract.set": _contract_set,
    "credit.claimed": _credit_claimed,
    "tenant.erased": _tenant_erased,
}
