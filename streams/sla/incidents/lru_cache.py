"""The least recently used cache of a partition's incidents: all others are kept as rows and decoded on access."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from streams.sla.incidents.steps import Step
from streams.sla.incidents.stored_incident import StoredIncident

UNLIMITED = 1 << 62
"""The size of a cache without stored rows."""


class StepReader(Protocol):
    """The recorded steps of incidents. A million open incidents would not fit into memory as objects."""

    def steps(self, incident_id: str) -> list[Step]:
        """An incident's steps in their order; none when nothing was recorded of it."""
        ...


class NoSteps:
    """No rows are stored: every incident stays in the cache."""

    def steps(self, incident_id: str) -> list[Step]:
        return []


class IncidentCache:
    """Gets incidents by id, decoding their rows where they are not cached."""

    __slots__ = ("_cached", "_max_cached", "_on_load", "_steps")

    def __init__(self, steps: StepReader, max_cached: int, on_load: Callable[[StoredIncident], None]) -> None:
        """`on_load` is called with each incident that was read from its rows."""
        self._steps = steps
        self._max_cached = max_cached
        self._on_load = on_load
        self._cached: dict[str, StoredIncident] = {}

    def get(self, incident_id: str) -> StoredIncident | None:
        """An incident, loaded from its rows if it is not cached; None for one that is not known."""
        stored = self._cached.pop(incident_id, None)
        if stored is None:
            steps = self._steps.steps(incident_id)
            if not steps:
                return None
            stored = StoredIncident(incident_id)
            for step in steps:
                stored.timeline.restore(step.facts, step.entries, step.processed_until)
            stored.steps = steps[-1].number + 1
            stored.recorded_due = steps[-1].due
            self._on_load(stored)
        self._cached[incident_id] = stored  # the last is the most recently used
        return stored

    def known(self, incident_id: str) -> StoredIncident:
        """An incident that is known to exist."""
        stored = self.get(incident_id)
        assert stored is not None, f"incident {incident_id} is not known"
        return stored

    def create(self, incident_id: str) -> StoredIncident:
        """A new incident."""
        stored = self._cached[incident_id] = StoredIncident(incident_id)
        return stored

    def get_or_create(self, incident_id: str) -> StoredIncident:
        """The incident that exists, or a new one."""
        return self.get(incident_id) or self.create(incident_id)

    def ids(self) -> list[str]:
        """The cached incidents, sorted."""
        return sorted(self._cached)

    def discard(self, incident_id: str) -> None:
        """Remove an incident that no longer exists."""
        self._cached.pop(incident_id, None)

    def evict(self) -> None:
        """Remove the least recently used incidents beyond the cache's size. Buffered facts are in no step, so their
        incidents stay."""
        for _ in range(len(self._cached) - self._max_cached):
            incident_id = next(iter(self._cached))
            stored = self._cached.pop(incident_id)
            if stored.buffered:
                self._cached[incident_id] = stored
