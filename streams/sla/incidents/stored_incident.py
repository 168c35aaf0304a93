"""One incident as the store keeps it: its timeline, the facts that wait for its opening, its limits (R4, R28)."""

from __future__ import annotations

from streams.sla import events as ev
from streams.sla.incidents.episodes import LISTED
from streams.sla.incidents.fold import Fact
from streams.sla.incidents.timeline import Timeline

MAX_EVENTS = 2000
#: How many events more others than `BOUND_TYPES` may use, and then how many more those that end an incident or correct
#: it by two people, so that it can always end, however often it was reopened (R28).
RESERVED_EVENTS, RESERVED_ENDS = 200, 100
BOUND_TYPES = frozenset(
    ["incident.updated", "incident.update_requested", "incident.waiting", "incident.waiting_ended", "incident.linked"]
)
_ENDS = frozenset(["incident.resolved", "incident.merged"])
_CORRECTIONS = frozenset(["incident.amended", "incident.annulled"])


def _most_events(event_type: str) -> int:
    """With how many events an incident takes no further one of a type."""
    if event_type in BOUND_TYPES:
        return MAX_EVENTS
    ends = 2 if event_type in _CORRECTIONS else 1 if event_type in _ENDS else 0
    return MAX_EVENTS + RESERVED_EVENTS + ends * RESERVED_ENDS


class StoredIncident:
    """The timeline is folded on access. `steps` is how many rows the incident has, `buffered` the facts that wait for
    its opening, `redacted` whether it names an erased tenant (R29), `recorded_due` the timer that its last row names.
    """

    __slots__ = ("buffered", "recorded_due", "redacted", "steps", "timeline")

    def __init__(self, incident_id: str) -> None:
        self.timeline = Timeline(incident_id)
        self.steps = 0
        self.buffered: list[Fact] = []
        self.redacted = False
        self.recorded_due: int | None = None

    def find(self, event: ev.Event) -> Fact | None:
        """The fact with the event's identity (R1)."""
        for fact in self.buffered:
            if fact.id == event.id and fact.source == event.source:
                return fact
        return self.timeline.find(event.source, event.id)

    def oversize(self, event: ev.Event) -> str | None:
        """Why the incident can't take one more event of this kind (R28)."""
        count = len(self.buffered) + len(self.timeline.facts)
        if count >= MAX_EVENTS and count >= _most_events(event.type):
            return f"incident {event.subject} has {count} events, the most an incident may have"
        if isinstance(event.payload, LISTED):
            listed = self.timeline.listed.plus([event.payload, *(fact.payload for fact in self.buffered)])
            if listed.too_long:
                return f"incident {event.subject} changed too often for so many tenants: its impact list is too long"
        return None

    def first_to_expire(self) -> list[Fact]:
        """Of the buffered facts the live ones, if there are any: backfilled ones arrive on another clock (R4, R32)."""
        return [fact for fact in self.buffered if not fact.backfill] or self.buffered
