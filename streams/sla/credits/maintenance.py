"""Maintenance by id (R23): which instants its versions exclude. A change keeps the notice that was already given."""

from __future__ import annotations

from bisect import insort
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from streams.sla.credits.intervals import Interval, intersect
from streams.sla.credits.time_index import PLATFORM, TimeIndex
from streams.sla.erasure import Erasures
from streams.sla.events import Event, MaintenanceCancelled, MaintenanceScheduled, Position, Rejection
from streams.sla.tenant_lists import shared

MAX_EVENTS = 200
"""The most events of one maintenance (R28); `RESERVED_EVENTS` more may cancel it, so that this is always possible."""
RESERVED_EVENTS = 20
MAX_KEYS = 100
"""The most tenants for whom a maintenance is listed one by one."""


class _Fact(NamedTuple):
    """Ordered by its first three fields, which is the order of event time (R2)."""

    time: int
    id: str
    source: str
    event: Event
    arrival: int
    position: Position


def _last_instant(fact: _Fact) -> int:
    payload = fact.event.payload
    return max(fact.time, payload.end) if isinstance(payload, MaintenanceScheduled) else fact.time


class MaintenanceVersion(NamedTuple):
    """One `maintenance.scheduled` of a maintenance. Instants in microseconds."""

    scope: str
    tenant_ids: frozenset[str]
    components: frozenset[str]
    start: int
    end: int
    announced_at: int
    position: Position

    def concerns(self, tenant: str, component: str) -> bool:
        """Whether it names a tenant and a component."""
        return component in self.components and (self.scope == "platform" or tenant in self.tenant_ids)


@dataclass(frozen=True, slots=True)
class MaintenancePlan:
    """The versions of one maintenance since its last cancellation, in event-time order. A cancellation removes all
    earlier versions, even retroactively. `start` is the earliest start of its versions, `end` their latest end;
    `platform` says whether one concerns every tenant, `tenant_ids` and `components` are all that they name."""

    maintenance_id: str
    versions: tuple[MaintenanceVersion, ...]
    start: int
    end: int
    platform: bool
    tenant_ids: frozenset[str]
    components: frozenset[str]
    _of_others: dict[tuple[str, int], list[Interval]] = field(default_factory=dict, compare=False, repr=False)
    """`excluded` of tenants that no version names, by component and notice: the same for each of them."""

    @classmethod
    def of(cls, maintenance_id: str, versions: Sequence[MaintenanceVersion]) -> MaintenancePlan:
        """`versions` are not empty."""
        return cls(
            maintenance_id,
            tuple(versions),
            start=min(version.start for version in versions),
            end=max(version.end for version in versions),
            platform=any(version.scope == "platform" for version in versions),
            tenant_ids=_union([version.tenant_ids for version in versions]),
            components=frozenset().union(*(version.components for version in versions)),
        )

    def excluded(self, tenant: str, component: str, notice: int) -> list[Interval]:
        """The instants excluded for a tenant and a component: those that a version announced at least `notice` ahead
        of its start covers, and that every later version covers too (R23). At most one interval."""
        if tenant in self.tenant_ids:
            return self._excluded(tenant, component, notice)
        found = self._of_others.get((component, notice))
        if found is None:
            found = self._of_others[component, notice] = self._excluded(tenant, component, notice)
        return found

    def _excluded(self, tenant: str, component: str, notice: int) -> list[Interval]:
        covered: list[Interval] = []
        for version in self.versions:
            if not version.concerns(tenant, component):
                covered = []
                continue
            window = [Interval(version.start, version.end)] if version.start < version.end else []
            in_time = version.announced_at + notice <= version.start
            covered = window if in_time else intersect(covered, window)
        return covered


def _union(sets: Sequence[frozenset[str]]) -> frozenset[str]:
    """The same object where there is one set, as nearly always."""
    return sets[0].union(*sets[1:]) if len(sets) > 1 else sets[0]


def _with_shared_list(event: Event) -> Event:
    """The same event; windows that come again and again name the same tenants."""
    payload = event.payload
    if not isinstance(payload, MaintenanceScheduled):
        return event
    return event._replace(payload=payload._replace(tenant_ids=shared(payload.tenant_ids).names))


class Maintenance:
    """The maintenance facts that this partition knows, in event-time order per id (R2)."""

    __slots__ = ("_facts", "_index", "_plans")

    def __init__(self) -> None:
        self._facts: dict[str, list[_Fact]] = {}
        self._plans: dict[str, MaintenancePlan] = {}
        self._index = TimeIndex()

    def __contains__(self, maintenance_id: str) -> bool:
        return maintenance_id in self._facts

    def identity(self, event: Event) -> bytes | None:
        """The digest of the fact with this event's identity, if there is one (R1)."""
        for fact in self._facts.get(event.subject, ()):
            if (fact.id, fact.source) == (event.id, event.source):
                return fact.event.digest
        return None

    def oversize(self, event: Event, waiting: int = 0) -> Rejection | None:
        """Why a maintenance can't take one more event, while so many are yet to be added (R28)."""
        count = len(self._facts.get(event.subject, ())) + waiting
        cancels = isinstance(event.payload, MaintenanceCancelled)
        if count < MAX_EVENTS + (RESERVED_EVENTS if cancels else 0):
            return None
        message = f"maintenance {event.subject} has {count} events, the most it may have; schedule it under another id"
        return Rejection("oversize", message, event.id)

    def add(self, event: Event, arrival: int, position: Position) -> list[MaintenancePlan]:
        """Store a fact; returns the plans before and after it where they differ, so that the months they cover are
        recomputed."""
        event = _with_shared_list(event)
        facts = self._facts.setdefault(event.subject, [])
        insort(facts, _Fact(event.time, event.id, event.source, event, arrival, position), key=lambda fact: fact[:3])
        before, after = self._plans.get(event.subject), self._refresh(event.subject)
        return [plan for plan in (before, after) if plan is not None and before != after]

    def ended_by(self, instant: int) -> list[str]:
        """The maintenances whose versions all end by an instant, and whose facts are all from before it."""
        return [name for name in self._facts if self.has_ended(name, instant)]

    def has_ended(self, maintenance_id: str, instant: int) -> bool:
        """Whether it is one of those that `ended_by` gives."""
        facts = self._facts.get(maintenance_id, ())
        return bool(facts) and max(map(_last_instant, facts)) <= instant

    def remove(self, maintenance_id: str) -> list[tuple[str, str, str]]:
        """Evict a maintenance; returns its facts as (maintenance, source, id)."""
        plan = self._plans.pop(maintenance_id, None)
        if plan is not None:
            self._unlist(plan)
        return [(maintenance_id, fact.source, fact.id) for fact in self._facts.pop(maintenance_id)]

    def erase_tenant(self, tenant: str, erasures: Erasures) -> list[tuple[Event, int, Position]]:
        """Replace an erased tenant's name in the facts; returns those that changed (R29). Only facts that name it are
        renamed: asking of every name whether it is an erased one would take seconds where many windows name many."""
        changed: list[tuple[Event, int, Position]] = []
        for maintenance_id, facts in self._facts.items():
            before = len(changed)
            for index, fact in enumerate(facts):
                payload = fact.event.payload
                if isinstance(payload, MaintenanceScheduled) and tenant in payload.tenant_ids:
                    event = _with_shared_list(erasures.event(fact.event))
                    facts[index] = fact._replace(event=event)
                    changed.append((event, fact.arrival, fact.position))
            if len(changed) > before:
                self._refresh(maintenance_id)
        return changed

    def _refresh(self, maintenance_id: str) -> MaintenancePlan | None:
        """Rebuild a plan from its facts; None when the last of them is a cancellation."""
        old = self._plans.pop(maintenance_id, None)
        if old is not None:
            self._unlist(old)
        versions: list[MaintenanceVersion] = []
        for fact in self._facts[maintenance_id]:
            match fact.event.payload:
                case MaintenanceScheduled(scope, tenants, components, start, end, announced_at):
                    who, what = shared(tenants).members, frozenset(components)
                    versions.append(MaintenanceVersion(scope, who, what, start, end, announced_at, fact.position))
                case _:
                    versions = []
        if not versions:
            return None
        plan = self._plans[maintenance_id] = MaintenancePlan.of(maintenance_id, versions)
        for key in self._keys(plan):
            self._index.add(key, plan.start, plan.end, maintenance_id)
        return plan

    def _unlist(self, plan: MaintenancePlan) -> None:
        for key in self._keys(plan):
            self._index.discard(key, plan.start, plan.end, plan.maintenance_id)

    @staticmethod
    def _keys(plan: MaintenancePlan) -> Collection[str]:
        """The index keys of a plan: whom it may concern. One that names many is looked at for every tenant."""
        return (PLATFORM,) if plan.platform or len(plan.tenant_ids) > MAX_KEYS else plan.tenant_ids

    def between(self, tenant: str, start: int, end: int) -> list[MaintenancePlan]:
        """The plans that may exclude instants within [start, end) for a tenant, ordered by id."""
        return [self._plans[name] for name in sorted(self._index.between((PLATFORM, tenant), start, end))]

    def count(self, tenant: str, start: int, end: int) -> int:
        """At least as many as `between` returns, without looking at any."""
        return self._index.count((PLATFORM, tenant), start, end)
