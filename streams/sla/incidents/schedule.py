"""The timers of a partition's incidents and tombstones: when each is due, and what of it backfill defers (R4, R32)."""

from __future__ import annotations

from streams.sla.arrival import TimeLimits
from streams.sla.incidents.stored_incident import StoredIncident
from streams.sla.timers import Timers

Due = tuple[int | None, bool]
"""An incident's next timer, and whether it waits until no more backfill is expected (R32)."""


class Schedule:
    """At most one timer per incident or tombstone."""

    __slots__ = ("_time_limits", "_tombstones", "timers")

    def __init__(self, time_limits: TimeLimits) -> None:
        self._time_limits = time_limits
        self._tombstones: set[str] = set()
        self.timers = Timers()

    def due(self, stored: StoredIncident) -> Due:
        """When the incident's next timer is due: a clock's, the end of the wait for its opening, or its eviction."""
        timeline = stored.timeline
        if stored.buffered:
            first = stored.first_to_expire()
            return min(fact.arrival for fact in first) + self._time_limits.orphan_after, first[0].backfill
        folded = timeline.folded
        if folded is None:
            return None, False
        at = timeline.due()
        if at is None and folded.ending is not None:
            at = timeline.processed_until + self._time_limits.retain_closed
        return at, folded.backfill

    def set(self, stored: StoredIncident) -> Due:
        """Set the incident's timer to what is due next."""
        at, deferred = due = self.due(stored)
        if deferred:
            self.timers.set(stored.timeline.id, None, at)
        else:
            self.timers.set(stored.timeline.id, at)
        return due

    def restore(self, incident_id: str, due: Due) -> None:
        """Set an incident's timer as its last row names it."""
        at, deferred = due
        self.timers.set(incident_id, None if deferred else at, at if deferred else None)

    def remove(self, incident_id: str) -> None:
        """Remove the timer of an incident or a tombstone that no longer exists."""
        self._tombstones.discard(incident_id)
        self.timers.set(incident_id, None)

    def add_tombstone(self, incident_id: str, until: int) -> None:
        """Retain an evicted incident's id until an instant (R1). Also restores a tombstone."""
        self._tombstones.add(incident_id)
        self.timers.set(incident_id, until)

    def has_tombstone(self, incident_id: str) -> bool:
        """Whether the incident was evicted."""
        return incident_id in self._tombstones

    @property
    def last_backfill(self) -> int:
        """When the last backfill arrived; before 1970 when none did."""
        return self.timers.backfill_idle_at - self._time_limits.backfill_quiet

    def expect_backfill(self, arrival: int) -> None:
        """Backfill arrived: more may follow within `backfill_quiet`."""
        self.timers.expect_backfill_until(arrival + self._time_limits.backfill_quiet)
