"""Applies contract facts and erasures of tenants to the incidents of a partition (R20, R29)."""

from __future__ import annotations

from typing import NamedTuple

from streams.sla.contracts import Contract
from streams.sla.incidents import contract_retention
from streams.sla.incidents.causes import Cause
from streams.sla.incidents.classification import Classification, Pinned
from streams.sla.incidents.fold import Fold
from streams.sla.incidents.reevaluation import QueueKey, QueueProgress
from streams.sla.incidents.state import IncidentState
from streams.sla.incidents.steps import Reevaluated, Rewritten
from streams.sla.incidents.stored_incident import StoredIncident
from streams.sla.instants import month_bounds, month_of


class Erased(NamedTuple):
    """What an erasure rewrites: the tenant's contract terms under its `pseudonym`, and its incidents (R29)."""

    pseudonym: str
    contracts: list[Contract]
    decisions: list[Rewritten]


def apply_contract(
    state: IncidentState, tenant: str, contract: Contract, arrival: int, at_once: int
) -> list[Reevaluated]:
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
    decisions = [reevaluate(state, one) for one in incidents] if straight else []
    return [decision for decision in decisions if decision is not None]


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


def reevaluate(state: IncidentState, incident_id: str) -> Reevaluated | None:
    """Re-evaluate an incident that is queued; None when it is not, or does not exist any more."""
    queued = state.queue.take(incident_id)
    stored = None if queued is None else state.cache.get(incident_id)
    if queued is None or stored is None:
        return None
    cause, arrival = queued
    timeline, before = stored.timeline, stored.timeline.folded
    timeline.reevaluate(cause, arrival, state.context)
    # Other terms may lead to another rule or tier without any output. An incident that was not cached is not known as
    # it was before them.
    after = timeline.folded
    changed = after is not None and (before is None or _basis(before) != _basis(after))
    outputs, step = state.applied(stored, [], changed=changed)
    return Reevaluated(outputs, step, arrival)


def _basis(fold: Fold) -> tuple[Classification, Pinned]:
    return fold.classification, fold.pinned


def _cause(tenant: str, contract: Contract) -> Cause:
    return Cause("contract.set", contract.time, contract.source, f"{tenant}/{contract.id}")


def erase_tenant(state: IncidentState, tenant: str, home: int, cause: Cause, arrival: int) -> Erased:
    """Replace a tenant by its pseudonym everywhere; `home` is the partition of its account (R29)."""
    pseudonym = state.erasures.pseudonym(tenant)
    state.erasures.add(pseudonym, home)
    contracts = state.contracts.rename(tenant, pseudonym)
    concerned = state.tenants.of(tenant)
    state.tenants.remove_tenant(tenant)
    state.queue.discard_tenant(tenant)
    decisions = [_rewrite(state, state.cache.known(one), cause, arrival) for one in concerned]
    return Erased(pseudonym, contracts, decisions)


def _rewrite(state: IncidentState, stored: StoredIncident, cause: Cause, arrival: int) -> Rewritten:
    """Redact one incident and publish what follows. An incident that can't be folded is quarantined (R27); its names
    go all the same."""
    state.redact(stored)
    timeline, crashed = stored.timeline, None
    try:
        if not state.folded(stored).backfilled:
            timeline.processed_until = max(timeline.processed_until, arrival)
        timeline.differ(cause, state.context)
    except Exception as error:
        crashed = f"{type(error).__name__}: {error}"
        state.quarantine(timeline.id)
    state.index_tenants(stored, timeline.facts)
    return state.rewritten(stored)._replace(crashed=crashed)
