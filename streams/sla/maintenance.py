"""Maintenance windows by id (R23): the latest fact wins, and a cancelled one excludes nothing, even afterwards."""

from __future__ import annotations

from typing import NamedTuple

from streams.sla.events import Event, MaintenanceCancelled, MaintenanceScheduled, Position
from streams.sla.statement import Window


class _Fact(NamedTuple):
    time: int
    id: str
    source: str
    payload: MaintenanceScheduled | MaintenanceCancelled
    digest: bytes
    position: Position


class Maintenance:
    """All maintenance facts that this partition knows, in event-time order per id (R2)."""

    __slots__ = ("_facts", "_windows")

    def __init__(self) -> None:
        self._facts: dict[str, list[_Fact]] = {}
        self._windows: dict[str, Window] = {}

    def identity(self, event: Event) -> bytes | None:
        """The digest of the fact with this event's identity, if there is one (R1)."""
        for fact in self._facts.get(event.subject, ()):
            if (fact.id, fact.source) == (event.id, event.source):
                return fact.digest
        return None

    def add(self, event: Event, position: Position) -> list[Window]:
        """Take a fact in; the windows that it ended or began, for what they touch to be weighed anew."""
        payload = event.payload
        assert isinstance(payload, MaintenanceScheduled | MaintenanceCancelled)
        facts = self._facts.setdefault(event.subject, [])
        facts.append(_Fact(event.time, event.id, event.source, payload, event.digest, position))
        facts.sort(key=lambda fact: (fact.time, fact.id, fact.source))
        before = self._windows.pop(event.subject, None)
        after = self._standing(event.subject, facts[-1])
        if after is not None:
            self._windows[event.subject] = after
        return [window for window in (before, after) if window is not None and before != after]

    @staticmethod
    def _standing(maintenance_id: str, fact: _Fact) -> Window | None:
        plan = fact.payload
        if isinstance(plan, MaintenanceCancelled):
            return None
        return Window(
            maintenance_id,
            plan.scope,
            frozenset(plan.tenant_ids),
            frozenset(plan.components),
            plan.start,
            plan.end,
            plan.announced_at,
            fact.position,
        )

    def windows(self) -> list[Window]:
        return list(self._windows.values())
