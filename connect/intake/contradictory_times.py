"""Incidents that end before they begin, as far as one request says both: they have no downtime (R21), so somebody has
to look at their times. The workers see only what becomes of such an end, an outage of no length."""

from __future__ import annotations

from connect.intake.outcome import IgnoredItem
from streams.sla.events import Event, Opened, Resolved
from streams.sla.instants import format_rfc3339

ENDS_BEFORE_IT_BEGINS = "ends_before_it_begins"


class StatedTimes:
    """The earliest beginning and end of each incident that a request states, of at most so many incidents."""

    def __init__(self, most: int | None = None) -> None:
        self.most = most
        self.left_out = False
        self._began: dict[str, int] = {}
        self._ended: dict[str, int] = {}

    def note(self, item: str, event: Event) -> IgnoredItem | None:
        """Take a checked event in; what to say of its incident where it now ends before it begins, once."""
        subject = event.subject
        times = self._began if isinstance(event.payload, Opened) else self._ended
        match event.payload:
            case Opened(started_at=at) | Resolved(restored_at=at):
                if self.most is not None and len(times) >= self.most and subject not in times:
                    self.left_out = True
                    return None
                stated = event.time if at is None else at
                times[subject] = min(stated, times.get(subject, stated))
            case _:
                return None
        start, end = self._began.get(subject), self._ended.get(subject)
        if start is None or end is None or end >= start:
            return None
        self._ended[subject] = start
        both = f"it ends at {format_rfc3339(end)}, before it begins at {format_rfc3339(start)}"
        advice = "so it has no downtime: correct its times (incident.amended), and the clock of the sender"
        return IgnoredItem(item, f"{both}, {advice}", ENDS_BEFORE_IT_BEGINS, subject)
