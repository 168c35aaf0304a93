"""The queue of incidents that contract facts concern: re-evaluated in slices, between inputs and timers (R20).

A re-evaluation publishes the difference between what follows now and what was published, so one that is repeated after
a restart, or that comes after a later contract fact, does no harm.
"""

from __future__ import annotations

from typing import NamedTuple

from streams.sla.incidents.causes import Cause
from streams.sla.incidents.incident_queue import IncidentQueue, QueuedIncidents


class QueueKey(NamedTuple):
    """The contract fact that concerns queued incidents."""

    tenant: str
    source: str
    event_id: str


class QueueProgress(NamedTuple):
    """A row of the queue: everything up to the incident `after`, in order of ids, has been re-evaluated; None: all has,
    so the row is to be deleted. `arrival` is the contract fact's, in microseconds."""

    key: QueueKey
    arrival: int
    after: str | None


class ReevaluationQueue(IncidentQueue[QueueKey]):
    """An incident that several contract facts concern is re-evaluated once, by the last. The progress is stored."""

    __slots__ = ("progress",)

    def __init__(self) -> None:
        super().__init__()
        self.progress: dict[QueueKey, QueueProgress] = {}
        """The rows that changed since `take_progress` was called."""

    def add(self, key: QueueKey, cause: Cause, arrival: int, incidents: list[str]) -> None:
        """Queue the incidents that a contract fact concerns, sorted by id. Also how the queue is restored."""
        super().add(key, cause, arrival, incidents)
        self.progress[key] = QueueProgress(key, arrival, "" if incidents else None)

    def discard_tenant(self, tenant: str) -> None:
        """All incidents of a tenant are rewritten, and judged anew with that: its contract facts are done."""
        for entry in [each for each in self._entries if each.key.tenant == tenant]:
            self._remove(entry)
            self._done(entry)

    def take_progress(self) -> list[QueueProgress]:
        """Take the rows that changed."""
        changed = list(self.progress.values())
        self.progress.clear()
        return changed

    def _advanced(self, entry: QueuedIncidents[QueueKey]) -> None:
        self.progress[entry.key] = QueueProgress(entry.key, entry.arrival, entry.incidents[entry.position - 1])

    def _done(self, entry: QueuedIncidents[QueueKey]) -> None:
        self.progress[entry.key] = QueueProgress(entry.key, entry.arrival, None)
