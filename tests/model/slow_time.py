"""Time for the slow model: whole minutes since 1970, targets counted by stepping through every one of them (R19)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from streams.sla.policy import BusinessHours, Target

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROS = 60_000_000

Spans = list[tuple[int, int]]
"""Half-open spans of minutes."""


def minute(text: str) -> int:
    """The minute of an RFC 3339 time; histories of the model name whole minutes only."""
    found, rest = divmod(datetime.fromisoformat(text) - EPOCH, timedelta(minutes=1))
    assert not rest, f"{text} is not on the grid"
    return found


def text_of(at: int) -> str:
    return utc(at).strftime("%Y-%m-%dT%H:%M:%SZ")


def utc(at: int) -> datetime:
    return EPOCH + timedelta(minutes=at)


def first_minute(local: datetime, zone: str) -> int:
    """The minute of a local time: one that DST skips moves forward, one it repeats means the first."""
    return (local.replace(tzinfo=ZoneInfo(zone), fold=0).astimezone(UTC) - EPOCH) // timedelta(minutes=1)


@lru_cache(maxsize=4096)
def office(hours: BusinessHours, day: date) -> tuple[int, int]:
    """When the calendar is open on a local day, as minutes; an empty span on a day off."""
    assert hours.holidays is None, "the model knows no holidays"
    span = hours.hours[day.weekday()]
    if span is None:
        return (0, 0)
    midnight = datetime(day.year, day.month, day.day)
    opens, shuts = (first_minute(midnight + timedelta(minutes=each), hours.zone) for each in span)
    return opens, shuts


@lru_cache(maxsize=1 << 20)
def is_open(hours: BusinessHours, at: int) -> bool:
    opens, shuts = office(hours, utc(at).astimezone(ZoneInfo(hours.zone)).date())
    return opens <= at < shuts


def deadline(target: Target, hours: BusinessHours, start: int, pauses: Spans) -> int:
    """The minute at which the target has run out."""
    if target.business_days is not None:
        return days_later(target.business_days, hours, start, pauses)
    assert target.within is not None
    left = target.within // MICROS
    at, always = start, target.clock == "always"
    while left:
        resting = pauses and any(begin <= at < end for begin, end in pauses)
        if not resting and (always or is_open(hours, at)):
            left -= 1
        at += 1
    return at


def days_later(days: int, hours: BusinessHours, start: int, pauses: Spans) -> int:
    """Pauses put off by as much office time as they take; one over the deadline until the office goes on."""
    due = business_days(days, hours, start)
    for begin, end in pauses:
        begin = max(begin, start)
        if begin >= due or end <= begin:
            continue
        taken = sum(is_open(hours, at) for at in range(begin, end))
        if end > due and not any(is_open(hours, at) for at in range(begin, due)):
            due = end
            while not is_open(hours, due):
                due += 1
            continue
        while taken:
            taken -= is_open(hours, due)
            due += 1
    return due


def business_days(days: int, hours: BusinessHours, start: int) -> int:
    """The same local time on the n-th following working day; from the next opening when outside hours."""
    at = start
    while not is_open(hours, at):
        at += 1
    local = utc(at).astimezone(ZoneInfo(hours.zone)).replace(tzinfo=None)
    day = local.date()
    while days:
        day += timedelta(days=1)
        opens, shuts = office(hours, day)
        days -= opens < shuts
    return first_minute(datetime.combine(day, local.time()), hours.zone)


def month_span(month: str, zone: str) -> tuple[int, int]:
    year, number = int(month[:4]), int(month[5:])
    following = datetime(year + number // 12, number % 12 + 1, 1)
    return first_minute(datetime(year, number, 1), zone), first_minute(following, zone)


def months_between(first: int, last: int, zone: str) -> Iterable[str]:
    """The local months from the one a minute lies in to the one another lies in."""
    here, end = (utc(at).astimezone(ZoneInfo(zone)).date().replace(day=1) for at in (first, last))
    while here <= end:
        yield f"{here:%Y-%m}"
        here = (here + timedelta(days=31)).replace(day=1)
