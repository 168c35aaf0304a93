"""Times as other systems write them, in requests and in exports: in formats and a zone that a file names."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo

from streams.sla.instants import LATEST, SECOND, parse_rfc3339, to_micros

#: The microseconds of one unit of each format that is a number.
_UNITS = {
    "epoch_seconds": Decimal(SECOND),
    "epoch_milliseconds": Decimal(SECOND // 1000),
    "epoch_microseconds": Decimal(1),
    "epoch_nanoseconds": Decimal("0.001"),
}
NAMED_FORMATS = ("rfc3339", *_UNITS)
_LONGEST = 64
#: In 1973. What is before it and after 1970 is a number of another unit: of seconds, read as milliseconds.
_EARLIEST = 100_000_000 * SECOND


class ReadTime(NamedTuple):
    """An instant in microseconds since 1970. `note` says what is ambiguous about it."""

    micros: int
    note: str = ""


def needs_zone(form: str) -> bool:
    """Whether times in a format say nothing of their zone."""
    return "%" in form and "%z" not in form


def clock_change(local: datetime) -> Literal["twice", "never"] | None:
    """Whether a change of the zone's clock repeats or skips a local time."""
    first, second = local.replace(fold=0), local.replace(fold=1)
    if first.utcoffset() == second.utcoffset():
        return None
    return "twice" if second.astimezone(UTC) > first.astimezone(UTC) else "never"


@dataclass(frozen=True, slots=True)
class TimeReader:
    """Reads times by the first format that fits: `rfc3339`, `epoch_seconds`, `epoch_milliseconds`, or patterns of
    strptime. Those without an offset are in `zone`, an IANA name."""

    formats: tuple[str, ...]
    zone: str | None = None

    def read(self, text: str) -> ReadTime | None:
        """None for what means that there is no time: 1970-01-01T00:00:00Z and anything before, such as 0, -1 or
        0001-01-01T00:00:00Z. Raises ValueError that says what each format expects."""
        problems = []
        for form in self.formats:
            try:
                found = self._as(form, text)
            except (ValueError, OverflowError) as error:
                problems.append(str(error))
                continue
            if found.micros <= LATEST:
                return found if found.micros > 0 else None
            problems.append(f"after the year 9999 ({form})")
        raise ValueError(" and ".join(problems))

    def _as(self, form: str, text: str) -> ReadTime:
        if len(text) > _LONGEST:
            raise ValueError(f"longer than a time in the format {form}")
        if form in _UNITS:
            return ReadTime(_since_1970(text, form))
        try:
            if form == "rfc3339":
                return ReadTime(parse_rfc3339(text))
            if needs_zone(form):
                return self._local(text, form)
            return ReadTime(to_micros(datetime.strptime(text, form).astimezone(UTC)))
        except (ValueError, OverflowError):
            expected = "no RFC 3339 date-time such as 2026-01-31T09:00:00Z" if form == "rfc3339" else None
            raise ValueError(expected or f"not of the format {form}") from None

    def _local(self, text: str, form: str) -> ReadTime:
        """Of a time that the zone's clock shows twice the first counts; one that it skips moves forward (R19)."""
        zone = ZoneInfo(self.zone or "UTC")
        first = datetime.strptime(text, form).replace(tzinfo=zone)
        found = clock_change(first)
        if found is None:
            return ReadTime(to_micros(first))
        what = "happens twice, the first counts" if found == "twice" else "does not exist, it is moved forward"
        return ReadTime(to_micros(first), f"{text} {what}: the clock of {zone.key} is changed then")


def _since_1970(text: str, form: str) -> int:
    """Microseconds since 1970; 0 for a number that is not positive. Raises ValueError, also for what no system writes
    today: an event of 1970 is accepted and rejected later, where nobody looks for a wrong unit."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite():
        raise ValueError(f"no number ({form})")
    unit = _UNITS[form]
    # Compared before it is multiplied: 1e999999 overflows, and 1e300000 takes a second to become an int.
    if number > LATEST / unit:
        raise ValueError(f"after the year 9999 ({form})")
    found = int(number * unit) if number > 0 else 0
    if 0 < found < _EARLIEST:
        raise ValueError(f"before 1973 ({form}), so it is in another unit")
    return found
