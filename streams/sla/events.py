"""The input events as typed facts: one payload type per event type of the public contract."""

from __future__ import annotations

from typing import Literal, NamedTuple

Scope = Literal["tenants", "platform"]


ActorKind = Literal["support", "customer", "monitor", "system"]


class Who(NamedTuple):
    """Who did something: `Who("support", "kim")`."""

    kind: ActorKind
    id: str | None = None


class Money(NamedTuple):
    amount_minor: int
    currency: str


class Opened(NamedTuple):
    scope: str
    tenant_ids: tuple[str, ...]
    component: str
    impact: str
    tier: int | None
    channel: str
    started_at: int | None
    summary: str | None = None
    """Shortened: `limits.MAX_SUMMARY`."""
    ticket_id: str | None = None


class Responded(NamedTuple):
    who: Who


class Updated(NamedTuple):
    who: Who
    visibility: str


class UpdateRequested(NamedTuple):
    who: Who


class Reclassified(NamedTuple):
    component: str | None
    impact: str | None
    tier: int | None
    scope: str | None
    tenant_ids: tuple[str, ...] | None


class SeveritySet(NamedTuple):
    severity: str | None
    who: Who


class Waiting(NamedTuple):
    on: str


class WaitingEnded(NamedTuple):
    on: str


class Resolved(NamedTuple):
    restored_at: int | None


class Reopened(NamedTuple):
    started_at: int | None


class Linked(NamedTuple):
    ticket_id: str | None
    phone_call_id: str | None


class Merged(NamedTuple):
    into: str


class Amended(NamedTuple):
    started_at: int | None
    restored_at: int | None
    counts_as_downtime: bool | None


class PolicyApplied(NamedTuple):
    policy: str
    version: str


class Annulled(NamedTuple):
    pass


class MaintenanceScheduled(NamedTuple):
    scope: str
    tenant_ids: tuple[str, ...]
    components: tuple[str, ...]
    start: int
    end: int
    announced_at: int


class MaintenanceCancelled(NamedTuple):
    pass


class ContractSet(NamedTuple):
    valid_from: int
    valid_to: int | None
    plan: str
    monthly_charge: Money
    tier: int | None
    time_zone: str | None
    emergency_member: bool


class CreditClaimed(NamedTuple):
    month: str


class TenantErased(NamedTuple):
    pass


IncidentPayload = (
    Opened
    | Responded
    | Updated
    | UpdateRequested
    | Reclassified
    | SeveritySet
    | Waiting
    | WaitingEnded
    | Resolved
    | Reopened
    | Linked
    | Merged
    | Amended
    | PolicyApplied
    | Annulled
)
ContractPayload = MaintenanceScheduled | MaintenanceCancelled | ContractSet | CreditClaimed | TenantErased
Payload = IncidentPayload | ContractPayload

#: Event type → rank among facts of one instant (R2).
INCIDENT_RANK: dict[str, int] = {
    name: rank
    for rank, name in enumerate(
        [
            "incident.opened",
            "incident.reopened",
            "incident.linked",
            "incident.reclassified",
            "incident.severity_set",
            "incident.policy_applied",
            "incident.amended",
            "incident.responded",
            "incident.updated",
            "incident.waiting",
            "incident.waiting_ended",
            "incident.update_requested",
            "incident.merged",
            "incident.resolved",
            "incident.annulled",
        ]
    )
}
CONTRACT_TYPES = frozenset(
    ["contract.set", "credit.claimed", "maintenance.scheduled", "maintenance.cancelled", "tenant.erased"]
)


class Position(NamedTuple):
    """The coordinates of a record, as evidence and rejects name them."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}, partition {self.partition}, offset {self.offset}"


class Event(NamedTuple):
    """One input event as decoded and checked. Instants in microseconds UTC.

    `digest` is over the decoded content without its transport fields, so that the same event sent twice in different
    framings is still the same event (R1).
    """

    id: str
    source: str
    type: str
    subject: str
    time: int
    payload: Payload
    backfill: bool
    received: int | None
    traceparent: str | None
    digest: bytes


class Rejection(NamedTuple):
    """Why an input can't be applied (R27): a code of the closed list and a message."""

    code: str
    message: str
    event_id: str | None = None


REJECT_CODES = (
    "undecodable",
    "unknown_schema",
    "unknown_type",
    "invalid",
    "conflict",
    "orphan",
    "future",
    "too_late",
    "four_eyes",
    "oversize",
    "cycle",
    "forbidden",
    "internal",
)


class Output(NamedTuple):
    """One output event. `data` has the contract's fields with Avro's native values: instants and durations in
    microseconds, money as {amount_minor, currency}. `time` is the instant at which it is true, not that of
    processing."""

    type: str
    id: str
    subject: str
    time: int
    data: dict[str, object]
    backfill: bool = False
    traceparent: str | None = None
    incident_ended: int | None = None
    """Of an alert that is published only after its incident has ended: when it ended."""
