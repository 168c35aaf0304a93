"""Applies contract facts and erasures of tenants to the incidents of a partition (R20, R29)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeVar

from streams.sla.contracts import Contract
from streams.sla.erasure import Erasure
from streams.sla.incidents import contract_retention
from streams.sla.incidents.causes import Cause
from streams.sla.incidents.classification import Classification, Pinned
from streams.sla.incidents.fold import Fact, Fold
from streams.sla.incidents.reevaluation import QueueKey, QueueProgress
from streams.sla.incidents.state import IncidentState
from streams.sla.incidents.steps import Reevaluated, Rewritten
from streams.sla.incidents.stored_incident import StoredIncident
from streams.sla.instants import month_bounds, month_of

T = TypeVar("T")


class Erased(NamedTuple):
    """What an erasure rewrites at once: the tenant's contract terms under its `pseudonym`, and its incidents unless
    they are queued (R29)."""

    pseudonym: str
    contracts: list[Contract]
    decisions: list[Rewritten]


def apply_contract(
    state: IncidentState, tenant: str, contract: Contract, arrival: int, at_once: int
) -> list[Reevaluated | Rewritten]:
    """A contract fact reached this partition: re-evaluate every retained incident that it concerns (R20). Those are
    queued when there are more than `at_once`, or when others are queued already."""
    if not state.contracts.add(tenant, contract):
        return []
    contract_retention.schedule(state, month_bounds(month_of(max(arrival, 0), "UTC"), "UTC")[1])
    change = state.contracts.change(tenant, contract)
    if change is None:
        return []
    opened_at = state.tenants.opened_at
    incidents = [one for one in state.tenants.of(tenant) if opened_at(one) < 0 or change.concerns(opened_at(one))]
    if not incidents:
        return []
    straight = len(incidents) <= at_once and not state.queue
    key = QueueKey(tenant, contract.source, contract.id)
    state.queue.add(key, _cause(tenant, contract), arrival, incidents)
    return _at_once(state, incidents, reevaluate) if straight else []


def restore_queue(state: IncidentState, progress: QueueProgress) -> None:
    """Queue again what was left of a contract fact's incidents, once all rows are restored. Which terms it replaced is
    not known any more, so all incidents that were opened since its `valid_from` are."""
    key, arrival, after = progress
    contract = state.contracts.find(*key)
    if contract is None or after is None:
        return
    opened_at = state.tenants.opened_at
    left = [one for one in state.tenants.of(key.tenant) if one > after]
    incidents = [one for one in left if opened_at(one) < 0 or opened_at(one) >= contract.valid_from]
    state.queue.add(key, _cause(key.tenant, contract), arrival, incidents)


def reevaluate(state: IncidentState, incident_id: str) -> Reevaluated | Rewritten | None:
    """Rewrite an incident that still names an erased tenant, or else re-evaluate one that is queued; None when it is
    neither, or does not exist any more."""
    rewritten = _rewrite_queued(state, incident_id)
    if rewritten is not None:
        return rewritten
    queued = state.queue.peek(incident_id)
    stored = None if queued is None else state.cache.get(incident_id)
    if queued is None or stored is None:
        state.queue.decided(incident_id)
        return None
    cause, arrival = queued
    timeline, before = stored.timeline, stored.timeline.folded
    timeline.reevaluate(cause, arrival, state.context)
    # Other terms may lead to another rule or tier without any output. An incident that was not cached is not known as
    # it was before them.
    after = timeline.folded
    changed = after is not None and (before is None or _basis(before) != _basis(after))
    outputs, step = state.applied(stored, [], changed=changed)
    state.queue.decided(incident_id)
    return Reevaluated(outputs, step, _latest(arrival, timeline.facts))


def _at_once(
    state: IncidentState, incidents: Iterable[str], decide: Callable[[IncidentState, str], T | None]
) -> list[T]:
    """Decide on queued incidents at once. One that raises stays queued: its timer tries again and sets it aside (R27),
    so it costs neither the others nor the input."""
    decisions: list[T] = []
    for incident_id in incidents:
        try:
            while (decision := decide(state, incident_id)) is not None:
                decisions.append(decision)
        except MemoryError:  # the incident is not at fault
            raise
        except Exception:
            state.cache.discard(incident_id)  # what was half decided is read again from its rows
    return decisions


def _basis(fold: Fold) -> tuple[Classification, Pinned]:
    return fold.classification, fold.pinned


def _cause(tenant: str, contract: Contract) -> Cause:
    return Cause("contract.set", contract.time, contract.source, f"{tenant}/{contract.id}")


def erase_tenant(state: IncidentState, tenant: str, home: int, cause: Cause, arrival: int, at_once: int) -> Erased:
    """Replace a tenant by its pseudonym; `home` is the partition of its account (R29). When more than `at_once`
    incidents name it, they are queued. A queued incident is rewritten before anything else is decided on it, so that
    nothing that is published or stored from now on has the tenant's name."""
    pseudonym = state.erasures.pseudonym(tenant)
    state.erasures.add(pseudonym, home)
    contracts = state.contracts.rename(tenant, pseudonym)
    state.queue.discard_tenant(tenant)
    incidents = _queue_rewrites(state, tenant, pseudonym, cause, arrival)
    straight = len(incidents) <= at_once
    return Erased(pseudonym, contracts, _at_once(state, incidents, _rewrite_queued) if straight else [])


def resume_erasures(state: IncidentState, erasures: Iterable[Erasure]) -> None:
    """Queue again the incidents whose rows still name an erased tenant, once all rows are restored and before
    `restore_queue`."""
    by_pseudonym = {erasure.pseudonym: erasure for erasure in erasures}
    left = [
        (by_pseudonym[name], tenant)
        for tenant in (state.tenants.tenants() if by_pseudonym else ())
        if (name := state.erasures.name(tenant)) != tenant
    ]
    for erasure, tenant in sorted(left, key=lambda each: (each[0].arrival, each[0].pseudonym)):
        cause = Cause("tenant.erased", erasure.time, erasure.source, erasure.id)
        _queue_rewrites(state, tenant, erasure.pseudonym, cause, erasure.arrival)


def _queue_rewrites(state: IncidentState, tenant: str, pseudonym: str, cause: Cause, arrival: int) -> list[str]:
    """Returns the incidents. One that an earlier erasure has queued stays in its place: it is rewritten for both."""
    incidents = [one for one in state.tenants.of(tenant) if one not in state.rewrites]
    state.tenants.rename(tenant, pseudonym)
    state.rewrites.add(pseudonym, cause, arrival, incidents)
    return incidents


def _rewrite_queued(state: IncidentState, incident_id: str) -> Rewritten | None:
    erasure = state.rewrites.peek(incident_id)
    if erasure is None:
        return None
    decision = _rewrite(state, state.cache.known(incident_id), *erasure)
    state.rewrites.decided(incident_id)
    return decision


def _rewrite(state: IncidentState, stored: StoredIncident, cause: Cause, arrival: int) -> Rewritten:
    """Redact one incident and publish what follows. An incident that can't be folded is quarantined (R27); its names
    go all the same."""
    state.redact(stored)
    timeline, crashed = stored.timeline, None
    try:
        if not state.folded(stored).live.backfill:
            timeline.processed_until = max(timeline.processed_until, arrival)
        timeline.differ(cause, state.context)
    except MemoryError:  # the incident is not at fault
        raise
    except Exception as error:
        crashed = f"{type(error).__name__}: {error}"
        state.quarantine(timeline.id)
    state.index_tenants(stored, timeline.facts)
    return state.rewritten(stored, _latest_of_erasure(state, arrival, timeline.facts))._replace(crashed=crashed)


def _latest_of_erasure(state: IncidentState, arrival: int, facts: Sequence[Fact]) -> int:
    """`_latest` of a list that an erasure rewrites. Of history only the time is known that it has for its own incident
    (R32), so the list counts from the last load. It may be later than necessary: what it says apart from names was
    sent before, and the ledger replaces names itself."""
    loaded = state.schedule.last_backfill if any(fact.backfill for fact in facts) else arrival
    return max(_latest(arrival, facts), loaded)


def _latest(arrival: int, facts: Iterable[Fact]) -> int:
    """When the last of the inputs arrived that an impact list rests on. A partition that catches up may have applied
    some which arrived after the contract fact or erasure; the ledger must not count them before their time (R26)."""
    return max(arrival, max((fact.arrival for fact in facts), default=arrival))
