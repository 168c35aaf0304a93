"""The incidents of a book: those in use are at hand, the others are what was recorded of them until they are woken."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from streams.sla.incidents.steps import Step
from streams.sla.incidents.stored_incident import StoredIncident

EVERYTHING = 1 << 62
"""At hand at most, where nothing is recorded."""


class Recorded(Protocol):
    """What was recorded of incidents. A million open ones would not fit into memory as objects."""

    def steps(self, incident_id: str) -> list[Step]:
        """An incident's steps in their order; none when nothing was recorded of it."""
        ...


class Nothing:
    """Nothing is recorded: every incident stays at hand."""

    def steps(self, incident_id: str) -> list[Step]:
        return []


class IncidentCache:
    """Gets incidents by id, and puts those back that were not used for longest."""

    __slots__ = ("_at_hand", "_most", "_recorded", "_woken")

    def __init__(self, recorded: Recorded, most: int, woken: Callable[[StoredIncident], None]) -> None:
        """`woken` is told of each incident that comes back from its record."""
        self._recorded = recorded
        self._most = most
        self._woken = woken
        self._at_hand: dict[str, StoredIncident] = {}

    def get(self, incident_id: str) -> StoredIncident | None:
        """An incident, woken from its record if need be; None for one that is not known."""
        kept = self._at_hand.pop(incident_id, None)
        if kept is None:
            steps = self._recorded.steps(incident_id)
            if not steps:
                return None
            kept = StoredIncident(incident_id)
            for step in steps:
                kept.timeline.restore(step.facts, step.entries, step.clock)
            kept.steps = steps[-1].number + 1
            kept.recorded_due = steps[-1].due
            self._woken(kept)
        self._at_hand[incident_id] = kept  # the last is the one used last
        return kept

    def known(self, incident_id: str) -> StoredIncident:
        """An incident that is known to be there."""
        kept = self.get(incident_id)
        assert kept is not None, f"incident {incident_id} is not known"
        return kept

    def make(self, incident_id: str) -> StoredIncident:
        """A new incident, or the one that is there."""
        return self.get(incident_id) or self._at_hand.setdefault(incident_id, StoredIncident(incident_id))

    def discard(self, incident_id: str) -> None:
        """It is not kept any more."""
        self._at_hand.pop(incident_id, None)

    def put_back(self) -> None:
        """Let go of what was not used for longest, down to the most there may be. Facts that wait for an opening are
        recorded apart from steps, so their incidents stay."""
        for _ in range(len(self._at_hand) - self._most):
            incident_id = next(iter(self._at_hand))
            kept = self._at_hand.pop(incident_id)
            if kept.waiting:
                self._at_hand[incident_id] = kept
