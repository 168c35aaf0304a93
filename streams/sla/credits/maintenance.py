"""Maintenance windows by id (R23): the latest fact wins, and a cancelled one excludes nothing, even afterwards."""

from __future__ import annotations

from typing import NamedTuple

from streams.sla.credits.statement import MaintenanceWindow
from streams.sla.erasure import Erasures
from streams.sla.events import Event, MaintenanceScheduled, Position


class _Fact(NamedTuple):
    """Ordered by its first three fields, which is the order of event time (R2)."""

    time: int
    id: str
    source: str
    event: Event
    arrival: int
    position: Position


class Maintenance:
    """The maintenance facts that this partition knows, in event-time order per id (R2)."""

    __slots__ = ("_facts", "_windows")

    def __init__(self) -> None:
        self._facts: dict[str, list[_Fact]] = {}
        self._windows: dict[str, MaintenanceWindow] = {}

    def identity(self, event: Event) -> bytes | None:
        """The digest of the fact with this event's identity, if there is one (R1)."""
        for fact in self._facts.get(event.subject, ()):
            if (fact.id, fact.source) == (event.id, event.source):
                return fact.event.digest
        return None

    def add(self, event: Event, arrival: int, position: Position) -> list[MaintenanceWindow]:
        """Store a fact; returns the windows that it removed or added, so that the months they cover are recomputed."""
        facts = self._facts.setdefault(event.subject, [])
        facts.append(_Fact(event.time, event.id, event.source, event, arrival, position))
        facts.sort(key=lambda fact: fact[:3])
        before, after = self._windows.get(event.subject), self._refresh_window(event.subject)
        return [window for window in (before, after) if window is not None and before != after]

    def erase_tenant(self, erasures: Erasures) -> list[tuple[Event, int, Position]]:
        """Replace an erased tenant's name in the facts; returns those that changed (R29)."""
        changed = []
        for maintenance_id, facts in self._facts.items():
            for index, fact in enumerate(facts):
                event = erasures.event(fact.event)
                if event is not fact.event:
                    facts[index] = fact._replace(event=event)
                    changed.append((event, fact.arrival, fact.position))
            self._refresh_window(maintenance_id)
        return changed

    def _refresh_window(self, maintenance_id: str) -> MaintenanceWindow | None:
        """Recompute the window in force from the latest fact."""
        window = self._window_of(maintenance_id, self._facts[maintenance_id][-1])
        self._windows.pop(maintenance_id, None)
        if window is not None:
            self._windows[maintenance_id] = window
        return window

    @staticmethod
    def _window_of(maintenance_id: str, fact: _Fact) -> MaintenanceWindow | None:
        plan = fact.event.payload
        if not isinstance(plan, MaintenanceScheduled):
            return None
        return MaintenanceWindow(
            maintenance_id,
            plan.scope,
            frozenset(plan.tenant_ids),
            frozenset(plan.components),
            plan.start,
            plan.end,
            plan.announced_at,
            fact.position,
        )

    def windows(self) -> list[MaintenanceWindow]:
        return list(self._windows.values())
