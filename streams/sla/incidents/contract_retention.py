"""Retention of the contract terms that an incident partition has copies of: those that no incident can need any more
are evicted once a month, and with the first input after a start (R20, R26).

Terms are needed at the opening of an incident that is retained, and of one that may still arrive: up to
`TimeLimits.retain_months` calendar months back. A tenant's latest terms always stay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.sla.incidents.steps import ContractsEvicted
from streams.sla.instants import LATEST, month_bounds, month_of, months_before

if TYPE_CHECKING:
    from streams.sla.incidents.state import IncidentState

EVICTION = ""
"""The key of the timer that evicts; no incident has it."""
STEP = 50
"""Tenants that are looked at in one step, so that other work comes between."""


class ContractRetention:
    """Which tenants the current eviction has yet to look at; `scheduled` once there is a timer."""

    __slots__ = ("remaining", "scheduled")

    def __init__(self) -> None:
        self.remaining: list[str] = []
        self.scheduled = False


def schedule(state: IncidentState, instant: int) -> None:
    """Evict at an instant, or once no more backfill is expected (R32), unless this is planned already."""
    if not state.retention.scheduled:
        state.retention.scheduled = True
        state.schedule.timers.set(EVICTION, None, instant)


def step(state: IncidentState, reached: int) -> ContractsEvicted:
    """The next step of an eviction; `reached` is the instant that time has reached."""
    retention, reached = state.retention, min(reached, LATEST)
    if not retention.remaining:
        retention.remaining = state.contracts.tenants()[::-1]
    limit = months_before(reached, state.time_limits.retain_months)
    evicted = []
    for _ in range(min(STEP, len(retention.remaining))):
        tenant = retention.remaining.pop()
        if state.queue:  # queued re-evaluations name the facts that they rest on: next time
            continue
        earliest = state.tenants.earliest(tenant)
        until = limit if earliest is None else min(limit, earliest)
        evicted += [(tenant, each.source, each.id) for each in state.contracts.evict(tenant, until)]
    if not retention.remaining:
        state.schedule.timers.set(EVICTION, None, month_bounds(month_of(reached, "UTC"), "UTC")[1])
    return ContractsEvicted(evicted)
