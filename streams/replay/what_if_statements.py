"""What the latest statements of tenants say whose adjustment may not be due yet at the end of a history (R26).

A month that is closed is credited as its latest statement has it. Nearly always that is what all facts come to. Where
something changed within the last `adjust_after`, only a ledger that applies the history says which statement is the
latest: such tenants are stated by one, all others are not.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from heapq import merge
from typing import NamedTuple

from streams.replay.history import InputLine, TimeAdvance
from streams.sla import events as ev
from streams.sla.arrival import TimeLimits
from streams.sla.credits.account import StatementState
from streams.sla.credits.ledger import Ledger
from streams.sla.credits.posted import Posted
from streams.sla.erasure import Erasures
from streams.sla.impact import Impact, ImpactCopy
from streams.sla.instants import Month
from streams.sla.policy import Policies


class Moment(NamedTuple):
    """When something was applied: after which line, how far time had advanced before that line since the change before,
    and the latest arrival by then."""

    number: int
    advances: tuple[TimeAdvance, ...]
    clock: int


class ImpactChange(NamedTuple):
    """An impact list as an input changed it, named as it was then."""

    moment: Moment
    copy: ImpactCopy
    backfill: bool


class ContractLine(NamedTuple):
    """An accepted contract or maintenance event."""

    moment: Moment
    line: InputLine


Change = ContractLine | ImpactChange
States = dict[tuple[str, Month], StatementState]


class TimeAdvances:
    """How far time has advanced since it was last asked."""

    def __init__(self) -> None:
        self._live: TimeAdvance | None = None
        self._idle: TimeAdvance | None = None

    def add(self, advance: TimeAdvance) -> None:
        """Time advanced before a line. What is due by then may wait for the end of a backfill: the last instant at
        which none was expected counts too."""
        if advance.backfill_idle:
            self._idle, self._live = advance, None
        else:
            self._live = advance

    def take(self) -> tuple[TimeAdvance, ...]:
        """The advances since the last call that decide what is due."""
        found = tuple(one for one in (self._idle, self._live) if one is not None)
        self._live = self._idle = None
        return found


def latest_statements(
    contracts: Sequence[ContractLine],
    impacts: Sequence[ImpactChange],
    policies: Policies,
    time_limits: TimeLimits,
    end: TimeAdvance,
) -> States:
    """The state of each closed month, at the end, of the tenants for whom an adjustment may not be due by then. What
    happened is in order of lines."""
    erasures = _erasures(contracts, time_limits)
    every = [one.statements for versions in policies.by_name.values() for one in versions]
    since = end.before - max(times.adjust_after for times in every)
    closed = end.before - min(times.grace for times in every)
    tenants = _changed(contracts, impacts, since, closed)
    if tenants == set():
        return {}
    named = None if tenants is None else {erasures.name(tenant) for tenant in tenants}
    own: Iterator[Change] = (
        one for one in contracts if named is None or not _is_of_others(one.line.event, named, erasures)
    )
    others: Iterator[Change] = _about(impacts, named, erasures)
    changes = merge(own, others, key=lambda change: change.moment.number)
    return _stated(changes, Ledger(policies, time_limits), end, named)


def _erasures(contracts: Sequence[ContractLine], time_limits: TimeLimits) -> Erasures:
    erasures = Erasures(time_limits.pseudonym_key)
    for _, line in contracts:
        if isinstance(line.event.payload, ev.TenantErased):
            erasures.add(erasures.pseudonym(line.event.subject))
    return erasures


def _changed(
    contracts: Sequence[ContractLine], impacts: Sequence[ImpactChange], since: int, closed: int
) -> set[str] | None:
    """The tenants of whom something changed at `since` or later that may concern a month which ended before `closed`;
    None: maybe all."""
    found: set[str] = set()
    known: set[str] = set()
    for moment, line in contracts:
        payload = line.event.payload
        if moment.clock >= since and isinstance(payload, ev.ContractSet):
            found.add(line.event.subject)
        if isinstance(payload, ev.MaintenanceScheduled | ev.MaintenanceCancelled):
            ahead = isinstance(payload, ev.MaintenanceScheduled) and payload.start >= closed
            if moment.clock >= since and not (ahead and line.event.subject not in known):
                return None
            known.add(line.event.subject)
    last: dict[str, frozenset[Impact]] = {}
    for moment, copy, _ in impacts:
        now = frozenset(copy.impacts)
        if moment.clock >= since:
            past = {one for one in now ^ last.get(copy.incident_id, frozenset()) if one.start < closed}
            if any(one.scope == "platform" for one in past):
                return None
            found.update(tenant for one in past for tenant in one.tenant_ids)
        last[copy.incident_id] = now
    return found


def _is_of_others(event: ev.Event, named: Collection[str], erasures: Erasures) -> bool:
    return isinstance(event.payload, ev.ContractSet) and erasures.name(event.subject) not in named


def _about(
    impacts: Sequence[ImpactChange], named: Collection[str] | None, erasures: Erasures
) -> Iterator[ImpactChange]:
    """The impact lists of the incidents that ever concerned one of the tenants."""
    if named is None:
        yield from impacts
        return
    tenants = {
        *named,
        *(one for c in impacts for i in c.copy.impacts for one in i.tenant_ids if erasures.name(one) in named),
    }
    about = {
        change.copy.incident_id
        for change in impacts
        if any(one.scope == "platform" or not tenants.isdisjoint(one.tenant_ids) for one in change.copy.impacts)
    }
    yield from (change for change in impacts if change.copy.incident_id in about)


def _stated(changes: Iterator[Change], ledger: Ledger, end: TimeAdvance, named: Collection[str] | None) -> States:
    found: States = {}

    def add(posted: object) -> None:
        if isinstance(posted, Posted):
            found.update(((row.tenant, row.month), row.state) for row in posted.months)

    def advance(to: TimeAdvance) -> None:
        while (posted := ledger.fire(to.before, backfill_idle=to.backfill_idle)) is not None:
            add(posted)

    for change in changes:
        for each in change.moment.advances:
            advance(each)
        if isinstance(change, ImpactChange):
            add(ledger.apply_impacts(change.copy, change.moment.clock, backfill=change.backfill))
        else:
            line = change.line
            add(ledger.apply(ledger.erasures.event(line.event), line.arrival, line.position))
    advance(end)
    closed: States = {}
    for (tenant, month), state in found.items():
        name = ledger.erasures.name(tenant)
        if state.settled is not None and (named is None or name in named):
            closed[name, month] = state  # rows of the pseudonym come later
    return closed
