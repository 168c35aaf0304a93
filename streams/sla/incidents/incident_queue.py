"""A queue of incidents that one input concerns: they are decided on in slices, between other inputs and timers."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

from streams.sla.incidents.causes import Cause
from streams.sla.instants import SECOND

#: How many incidents are decided on before other inputs and timers have their turn, and how far the queue's due
#: instant moves on with each such slice. A slice takes less time than that, so input is never delayed for long.
SLICE = 32
SLICE_INTERVAL = SECOND // 50

K = TypeVar("K")


class QueuedIncidents(Generic[K]):
    """One input and the incidents it concerns, sorted by id."""

    __slots__ = ("arrival", "cause", "incidents", "key", "position")

    def __init__(self, key: K, cause: Cause, arrival: int, incidents: list[str]) -> None:
        self.key = key
        self.cause = cause
        self.arrival = arrival
        self.incidents = incidents
        self.position = 0


class IncidentQueue(Generic[K]):
    """First in, first out by input, which `key` identifies. An incident is queued once, for the last input that was
    added with it. Instants are microseconds."""

    __slots__ = ("_due", "_entries", "_sliced", "pending")

    def __init__(self) -> None:
        self._entries: deque[QueuedIncidents[K]] = deque()
        self.pending: dict[str, QueuedIncidents[K]] = {}
        """The queued incidents, and by which input each is."""
        self._due = 0
        self._sliced = 0

    def __len__(self) -> int:
        return len(self.pending)

    def __contains__(self, incident_id: str) -> bool:
        return incident_id in self.pending

    def add(self, key: K, cause: Cause, arrival: int, incidents: list[str]) -> None:
        """Queue the incidents that an input concerns, sorted by id. Also how the queue is restored."""
        if not incidents:
            return
        entry = QueuedIncidents(key, cause, arrival, incidents)
        if not self._entries:
            self._due, self._sliced = arrival, 0
        self._entries.append(entry)
        self.pending.update(dict.fromkeys(incidents, entry))

    @property
    def waiting_since(self) -> int | None:
        """The arrival of the oldest input that is not done."""
        return self._entries[0].arrival if self._entries else None

    def first_due(self) -> tuple[int, str] | None:
        """When the next incident is due, and which it is."""
        if not self._entries:
            return None
        entry = self._entries[0]
        return self._due, entry.incidents[entry.position]

    def peek(self, incident_id: str) -> tuple[Cause, int] | None:
        """The input by which an incident is to be decided on, and its arrival; None when it is not queued."""
        entry = self.pending.get(incident_id)
        return None if entry is None else (entry.cause, entry.arrival)

    def decided(self, incident_id: str) -> None:
        """An incident was decided on, and leaves the queue. One whose decision raises stays in it."""
        if self.pending.pop(incident_id, None) is None:
            return
        self._sliced += 1
        if self._sliced >= SLICE:
            self._due, self._sliced = self._due + SLICE_INTERVAL, 0
        self._advance()

    def discard(self, incident_id: str) -> None:
        """Drop an incident from the queue."""
        if self.pending.pop(incident_id, None) is not None:
            self._advance()

    def _remove(self, entry: QueuedIncidents[K]) -> None:
        for incident_id in entry.incidents:
            if self.pending.get(incident_id) is entry:
                del self.pending[incident_id]
        self._entries.remove(entry)
        self._advance()

    def _advance(self) -> None:
        """Move on to the first incident that is still pending."""
        while self._entries:
            entry = self._entries[0]
            start = entry.position
            while entry.position < len(entry.incidents) and entry.incidents[entry.position] not in self.pending:
                entry.position += 1
            if entry.position < len(entry.incidents):
                if entry.position > start:
                    self._advanced(entry)
                return
            self._entries.popleft()
            self._done(entry)

    def _advanced(self, entry: QueuedIncidents[K]) -> None:
        """All incidents of an entry before its position are done."""

    def _done(self, entry: QueuedIncidents[K]) -> None:
        """All incidents of an entry are done."""
