"""Times as exports write them: formats that a file names, in the zone that it names."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from connect.intake.epoch_times import UNITS, since_1970
from connect.intake.mapping.body_keys import needs_zone
from streams.sla.instants import LATEST, parse_rfc3339, to_micros


class ReadTime(NamedTuple):
    """An instant in microseconds. `note` says what is ambiguous about it."""

    micros: int
    note: str = ""


class TimeReader:
    """Reads times by the first format that fits. Formats without an offset are in `zone`."""

    def __init__(self, formats: Sequence[str], zone: ZoneInfo | None) -> None:
        self._formats = tuple(formats)
        self._zone = zone

    def read(self, text: str) -> ReadTime:
        """Raises ValueError that says what is allowed."""
        for form in self._formats:
            try:
                found = self._as(form, text)
            except (ValueError, OverflowError):
                continue
            if 0 < found.micros <= LATEST:
                return found
        raise ValueError(f"{text[:60]!r} is no time; allowed: {', '.join(self._formats)}")

    def _as(self, form: str, text: str) -> ReadTime:
        if form == "rfc3339":
            return ReadTime(parse_rfc3339(text))
        if form in UNITS:
            return ReadTime(since_1970(text, form))
        if not needs_zone(form):
            return ReadTime(to_micros(datetime.strptime(text, form).astimezone(UTC)))
        assert self._zone is not None, "checked with the file"
        first = datetime.strptime(text, form).replace(tzinfo=self._zone)
        second = first.replace(fold=1)  # the first of two counts, and a gap moves forward (R19)
        if first.utcoffset() == second.utcoffset():
            return ReadTime(to_micros(first))
        twice = second.astimezone(UTC) > first.astimezone(UTC)
        what = "happens twice, the first counts" if twice else "does not exist, it is moved forward"
        return ReadTime(to_micros(first), f"{text} {what}: the clock of {self._zone.key} is changed then")
