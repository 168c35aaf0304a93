"""Times as exports write them: formats that a file names, in the zone that it names."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import NamedTuple
from zoneinfo import ZoneInfo

from streams.sla.instants import LATEST, parse_rfc3339, to_micros

#: Names of formats that `strptime` does not have.
RFC_3339, UNIX, UNIX_MS = "rfc3339", "unix", "unix_ms"
_NAMED = {UNIX: 1_000_000, UNIX_MS: 1_000}
#: Directives that make a format of a date and a time of day.
_DATE, _TIME = (("%d", "%j", "%x", "%c"), ("%H", "%I", "%X", "%c"))


class ReadTime(NamedTuple):
    """An instant in microseconds. `note` says what is ambiguous about it."""

    micros: int
    note: str = ""


def format_problem(text: str) -> str | None:
    """Why a text is no format of times, or None."""
    if text == RFC_3339 or text in _NAMED:
        return None
    if not any(each in text for each in _DATE) or not any(each in text for each in _TIME):
        return f"{text!r} has no date and time; allowed: rfc3339, unix, unix_ms, or directives such as %d.%m.%Y %H:%M"
    if "%Z" in text:  # it would be read and then not count
        return f"{text!r}: names of zones are not read; allowed: %z, or the name as it is written, such as %H:%M UTC"
    try:
        datetime.strptime(datetime(2026, 1, 31, 9, tzinfo=UTC).strftime(text), text).replace(tzinfo=UTC)
    except ValueError as error:
        return f"{text!r} is no format: {error}; allowed: the directives of Python's strptime, such as %d.%m.%Y %H:%M"
    return None


def needs_zone(text: str) -> bool:
    """Whether a format leaves the zone open."""
    return text != RFC_3339 and text not in _NAMED and "%z" not in text


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
            except (ValueError, OverflowError, InvalidOperation):
                continue
            if 0 <= found.micros <= LATEST:
                return found
        raise ValueError(f"{text[:60]!r} is no time; allowed: {', '.join(self._formats)}")

    def _as(self, form: str, text: str) -> ReadTime:
        if form == RFC_3339:
            return ReadTime(parse_rfc3339(text))
        if form in _NAMED:
            return ReadTime(int(Decimal(text) * _NAMED[form]))
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
