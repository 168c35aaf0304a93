"""The queue of incidents that contract facts concern: re-evaluated in slices, between inputs and timers (R20).

A re-evaluation publishes the difference between what follows now and what was published, so one that is repeated after
a restart, or that comes after a later contract fact, does no harm.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from streams.sla.incidents.causes import Cause
from streams.sla.instants import SECOND

#: How many incidents are re-evaluated before other inputs and timers have their turn, and how far the queue's due
#: instant moves on with each such slice. A slice takes less time than that, so input is never delayed for long.
SLICE = 32
SLICE_INTERVAL = SECOND // 50


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


class _Entry:
    """One contract fact and the incidents it concerns, sorted by id."""

    __slots__ = ("arrival", "cause", "incidents", "key", "position")

    def __init__(self, key: QueueKey, cause: Cause, arrival: int, incidents: list[str]) -> None:
        self.key = key
        self.cause = cause
        self.arrival = arrival
        self.incidents = incidents
        self.position = 0


class ReevaluationQueue:
    """First in, first out by contract fact; an incident that several concern is re-evaluated once, by the last."""

    __slots__ = ("_due", "_entries", "_pending", "_sliced", "progress")

    def __init__(self) -> None:
        self._entries: deque[_Entry] = deque()
        self._pending: dict[str, _Entry] = {}
        self.progress: dict[QueueKey, QueueProgress] = {}
        """The rows that changed since `take_progress` was called."""
        self._due = 0
        self._sliced = 0

    def __len__(self) -> int:
        return len(self._pending)

    def __contains__(self, incident_id: str) -> bool:
        return incident_id in self._pending

    def add(self, key: QueueKey, cause: Cause, arrival: int, incidents: list[str]) -> None:
        """Queue the incidents that a contract fact concerns, sorted by id. Also how the queue is restored."""
        if not incidents:
            self.progress[key] = QueueProgress(key, arrival, None)
            return
        entry = _Entry(key, cause, arrival, incidents)
        if not self._entries:
            self._due, self._sliced = arrival, 0
        self._entries.append(entry)
        self._pending.update(dict.fromkeys(incidents, entry))
        self.progress[key] = QueueProgress(key, arrival, "")

    @property
    def waiting_since(self) -> int | None:
        """The arrival of the oldest contract fact that is not done."""
        return self._entries[0].arrival if self._entries else None

    def first_due(self) -> tuple[int, str] | None:
        """When the next re-evaluation is due, and of which incident."""
        if not self._entries:
            return None
        entry = self._entries[0]
        return self._due, entry.incidents[entry.position]

    def take(self, incident_id: str) -> tuple[Cause, int] | None:
        """The contract fact by which an incident is to be re-evaluated, and its arrival; None when none is due."""
        entry = self._pending.pop(incident_id, None)
        if entry is None:
            return None
        self._sliced += 1
        if self._sliced >= SLICE:
            self._due, self._sliced = self._due + SLICE_INTERVAL, 0
        self._advance()
        return entry.cause, entry.arrival

    def discard(self, incident_id: str) -> None:
        """Drop an incident from the queue: it was evicted, quarantined or rewritten."""
        if self._pending.pop(incident_id, None) is not None:
            self._advance()

    def discard_tenant(self, tenant: str) -> None:
        """All incidents of a tenant were rewritten: its contract facts are done."""
        for entry in [each for each in self._entries if each.key.tenant == tenant]:
            for incident_id in entry.incidents:
                if self._pending.get(incident_id) is entry:
                    del self._pending[incident_id]
            self._entries.remove(entry)
            self.progress[entry.key] = QueueProgress(entry.key, entry.arrival, None)
        self._advance()

    def take_progress(self) -> list[QueueProgress]:
        """Take the rows that changed."""
        changed = list(self.progress.values())
        self.progress.clear()
        return changed

    def _advance(self) -> None:
        """Move on to the first incident that is still pending."""
        while self._entries:
            entry = self._entries[0]
            start = entry.position
            while entry.position < len(entry.incidents) and entry.incidents[entry.position] not in self._pending:
                entry.position += 1
            if entry.position < len(entry.incidents):
                if entry.position > start:
                    after = entry.incidents[entry.position - 1]
                    self.progress[entry.key] = QueueProgress(entry.key, entry.arrival, after)
                return
            self._entries.popleft()
            self.progress[entry.key] = QueueProgress(entry.key, entry.arrival, None)
