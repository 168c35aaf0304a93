"""Incidents that end before they begin, as far as one request says both: they have no downtime (R21), so somebody has
to look at their times. The workers see only what becomes of such an end, an outage of no length."""

from __future__ import annotations

from collections.abc import Mapping

from connect.intake.outcome import Event, IgnoredItem
from streams.sla.instants import format_rfc3339, parse_rfc3339

ENDS_BEFORE_IT_BEGINS = "ends_before_it_begins"


class StatedTimes:
    """The earliest beginning and end of each incident that a request states."""

    def __init__(self) -> None:
        self._began: dict[str, int] = {}
        self._ended: dict[str, int] = {}

    def note(self, item: str, event: Event, subject: str, time: int) -> IgnoredItem | None:
        """Take a checked event in; what to say of its incident where it now ends before it begins, once."""
        kind = event["type"]
        if kind == "incident.opened":
            began = _instant(event, "started_at", time)
            self._began[subject] = min(began, self._began.get(subject, began))
        elif kind == "incident.resolved":
            ended = _instant(event, "restored_at", time)
            self._ended[subject] = min(ended, self._ended.get(subject, ended))
        else:
            return None
        start, end = self._began.get(subject), self._ended.get(subject)
        if start is None or end is None or end >= start:
            return None
        self._ended[subject] = start
        times = f"it ends at {format_rfc3339(end)}, before it begins at {format_rfc3339(start)}"
        advice = "so it has no downtime: correct its times (incident.amended), and the clock of the sender"
        return IgnoredItem(item, f"{times}, {advice}", ENDS_BEFORE_IT_BEGINS, subject)


def _instant(event: Event, name: str, otherwise: int) -> int:
    data = event.get("data")
    given = data.get(name) if isinstance(data, Mapping) else None
    return otherwise if given is None else parse_rfc3339(str(given))
