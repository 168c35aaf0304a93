"""Instants and durations as integers: microseconds since the epoch, UTC; months as local calendar months (R24)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NewType
from zoneinfo import ZoneInfo, reset_tzpath

# Money depends on time zones, so every machine uses those of the pinned tzdata package, never its own.
reset_tzpath(to=())

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

_LEAP_SECOND = re.compile(r".{17}60(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: The last instant a fact may name (R28): 9999-12-31T23:59:59.999999Z.
LATEST = 253_402_300_799_999_999

Month = NewType("Month", str)
"""A calendar month, `YYYY-MM`."""
LAST_MONTH = Month("9999-12")


def to_micros(moment: datetime) -> int:
    """Microseconds since the epoch of an aware datetime, exact."""
    return (moment - EPOCH) // timedelta(microseconds=1)


def to_datetime(micros: int) -> datetime:
    """The aware UTC datetime of an instant."""
    return EPOCH + timedelta(microseconds=micros)


def parse_rfc3339(text: str) -> int:
    """The instant of an RFC 3339 date-time. Raises ValueError when it has no offset or is malformed.

    A leap second, 23:59:60 UTC at the end of a month, is the last microsecond before it: so it stays in its month.
    """
    if len(text) < 20 or text[10] not in "Tt ":
        raise ValueError(f"{text!r} is not an RFC 3339 date-time such as 2026-01-31T09:00:00Z")
    given = text[:-1] + "Z" if text[-1] == "z" else text  # both are RFC 3339; fromisoformat knows the capital only
    try:
        moment = datetime.fromisoformat(given)
    except ValueError as error:
        if _LEAP_SECOND.fullmatch(text):
            return _leap_second(given)
        raise ValueError(f"{text!r} is not an RFC 3339 date-time such as 2026-01-31T09:00:00Z") from error
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no UTC offset; write Z or +09:00 at its end")
    return to_micros(moment)


def _leap_second(text: str) -> int:
    try:
        second = to_micros(datetime.fromisoformat(f"{text[:17]}59{text[19:]}")) // SECOND * SECOND
        following = to_datetime(second + SECOND)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{text!r} is not an RFC 3339 date-time such as 2026-01-31T09:00:00Z") from error
    if (following.day, following.hour, following.minute, following.second) != (1, 0, 0, 0):
        raise ValueError(f"{text!r} has second 60; only 23:59:60 UTC on the last day of a month may be a leap second")
    return second + SECOND - 1


def format_rfc3339(micros: int) -> str:
    """RFC 3339 in UTC with as many decimals as needed: 2026-01-31T09:00:00Z, 2026-01-31T09:00:00.25Z."""
    second, fraction = divmod(micros, SECOND)
    text = _second_text(second)
    return f"{text}.{fraction:06d}".rstrip("0") + "Z" if fraction else f"{text}Z"


@lru_cache(maxsize=8192)
def _second_text(second: int) -> str:
    text = to_datetime(second * SECOND).strftime("%Y-%m-%dT%H:%M:%S")
    return text.rjust(19, "0")  # some C libraries do not pad the year


@lru_cache(maxsize=4096)
def month_bounds(month: Month, zone: str) -> tuple[int, int]:
    """First instant of a local calendar month and of the next one (R24)."""
    year, number = int(month[:4]), int(month[5:7])
    return _month_start(year, number, zone), _month_start(year + number // 12, number % 12 + 1, zone)


def _month_start(year: int, number: int, zone: str) -> int:
    if year > 9999:
        return LATEST
    return to_micros(datetime(year, number, 1, tzinfo=ZoneInfo(zone)))


def month_of(micros: int, zone: str) -> Month:
    """The local calendar month that an instant lies in; the last there is for instants after it."""
    return _month_of_day(micros // DAY, zone) or _month_at(micros, zone)


@lru_cache(maxsize=4096)
def _month_of_day(day: int, zone: str) -> Month | None:
    """The month that a whole day of UTC lies in; None where the local month changes within it."""
    month = _month_at(day * DAY, zone)
    return month if month == _month_at((day + 1) * DAY - 1, zone) else None


def _month_at(micros: int, zone: str) -> Month:
    try:
        local = to_datetime(micros).astimezone(ZoneInfo(zone))
    except OverflowError:
        return LAST_MONTH
    return Month(f"{local.year:04d}-{local.month:02d}")


def next_month(month: Month) -> Month:
    year, number = int(month[:4]), int(month[5:7])
    return Month(f"{year + number // 12:04d}-{number % 12 + 1:02d}")


def months_between(start: int, end: int, zone: str) -> Iterable[Month]:
    """Local calendar months that overlap [start, end)."""
    month = month_of(max(start, 0), zone)
    begin, following = month_bounds(month, zone)
    if end <= following:  # as nearly always
        return (month,) if begin < end else ()
    return _months(month, end, zone)


def _months(month: Month, end: int, zone: str) -> Iterator[Month]:
    """From a month on, those that begin before an instant."""
    while month_bounds(month, zone)[0] < end:
        yield month
        if month == LAST_MONTH:
            return
        month = next_month(month)


def months_before(instant: int, months: int) -> int:
    """Where the oldest of so many calendar months (UTC) before that of an instant begins; 0 before 1970."""
    year, month = map(int, month_of(max(instant, 0), "UTC").split("-"))
    number = year * 12 + month - 1 - months
    if number < 1970 * 12:
        return 0
    return month_bounds(Month(f"{number // 12:04}-{number % 12 + 1:02}"), "UTC")[0]
