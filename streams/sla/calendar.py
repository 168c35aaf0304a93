"""Business time (R19): the vendor's hours, holidays and n-th working days, computed in UTC from local wall times."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from fractions import Fraction
from functools import cache, lru_cache
from importlib.metadata import version
from zoneinfo import ZoneInfo

import holidays

from streams.sla.instants import DAY, LATEST, to_datetime, to_micros
from streams.sla.policy import BusinessHours, Target

#: Half-open intervals in which a clock stands still, ascending; an end of None means until further notice (R14).
Pauses = Sequence[tuple[int, int | None]]

ONE_DAY = timedelta(days=1)
_EPOCH_DAY = date(1970, 1, 1).toordinal()


@cache
def calendar_version() -> str:
    """The holiday library that decided, recorded in statements."""
    return f"holidays {version('holidays')}"


@cache
def tzdata_version() -> str:
    """The time zone data that decided, recorded in statements."""
    return version("tzdata")


@cache
def _holidays(code: str) -> holidays.HolidayBase:
    country, _, subdivision = code.partition("-")
    return holidays.country_holidays(country, subdiv=subdivision or None)


def _local(day: date, minutes: int, zone: str) -> int:
    """The instant of a wall time: one that DST skips moves forward, one it repeats means the first (R19)."""
    whole_days, rest = divmod(minutes, 24 * 60)
    day += whole_days * ONE_DAY
    return to_micros(datetime(day.year, day.month, day.day, rest // 60, rest % 60, tzinfo=ZoneInfo(zone)))


@lru_cache(maxsize=65536)
def opening_hours(hours: BusinessHours, day: date) -> tuple[int, int] | None:
    """Opening and closing instant of a local day, or None when nobody works."""
    span = hours.hours[day.weekday()]
    if span is None or (hours.holidays is not None and day in _holidays(hours.holidays)):
        return None
    opens, closes = _local(day, span[0], hours.zone), _local(day, span[1], hours.zone)
    return (opens, closes) if opens < closes else None  # DST may skip all of a day's hours


def _open_spans(hours: BusinessHours, start: int) -> Iterable[tuple[int, int]]:
    """Opening spans that end after `start`, in order. Raises OverflowError after the year 9999."""
    # Two days before the UTC date is never later than the local day before, in whatever zone, and costs no conversion.
    day = date.fromordinal(max(_EPOCH_DAY + start // DAY - 2, 1))
    while True:
        span = opening_hours(hours, day)
        if span is not None and span[1] > start:
            yield span
        day += ONE_DAY


def add_business(hours: BusinessHours, start: int, amount: int) -> int:
    """The first instant at which `amount` microseconds of opening time have passed since `start`."""
    for opens, closes in _open_spans(hours, start):
        begin = max(opens, start)
        if amount <= closes - begin:
            return begin + amount
        amount -= closes - begin
    raise AssertionError("opening spans never end")


def business_between(hours: BusinessHours, start: int, end: int) -> int:
    """Microseconds of opening time in [start, end)."""
    total = 0
    if end <= start:
        return total
    try:
        for opens, closes in _open_spans(hours, start):
            if opens >= end:
                break
            total += min(closes, end) - max(opens, start)
    except OverflowError:
        pass
    return total


def add_business_days(hours: BusinessHours, start: int, days: int) -> int:
    """The same local time on the n-th following working day; outside hours counts from the next opening (R19)."""
    opens, _ = next(iter(_open_spans(hours, start)))
    base = to_datetime(max(opens, start)).astimezone(ZoneInfo(hours.zone))
    day = base.date()
    while days:
        day += ONE_DAY
        if opening_hours(hours, day) is not None:
            days -= 1
    return to_micros(datetime.combine(day, base.time().replace(fold=0), tzinfo=ZoneInfo(hours.zone)))


def _elapsing(hours: BusinessHours | None, start: int, amount: int, pauses: Pauses) -> int | None:
    """The instant at which `amount` has run on a clock that rests in its pauses; None while it rests for good."""
    for begin, end in pauses:
        if end is not None and end <= start:
            continue
        if begin > start:
            done = start + amount if hours is None else add_business(hours, start, amount)
            if done <= begin:
                return done
            amount -= begin - start if hours is None else business_between(hours, start, begin)
        if end is None:
            return None
        start = end
    return start + amount if hours is None else add_business(hours, start, amount)


def deadline(target: Target, hours: BusinessHours, start: int, pauses: Pauses = ()) -> int | None:
    """When a clock that starts at `start` runs out; None while a pause holds it, or when that is after 9999 (R28)."""
    try:
        due = _deadline(target, hours, start, pauses)
    except OverflowError:
        return None
    return due if due is not None and due <= LATEST else None


def _deadline(target: Target, hours: BusinessHours, start: int, pauses: Pauses) -> int | None:
    if target.business_days is not None:
        unpaused = add_business_days(hours, start, target.business_days)
        if not pauses:
            return unpaused
        return _elapsing(hours, start, business_between(hours, start, unpaused), pauses)
    assert target.within is not None
    if target.clock == "always" and not pauses:
        return start + target.within
    return _elapsing(None if target.clock == "always" else hours, start, target.within, pauses)


def elapsed(target: Target, hours: BusinessHours, start: int, end: int) -> int:
    """Time on the target's own kind of clock in [start, end), pauses not deducted."""
    if target.clock == "always" and target.business_days is None:
        return max(0, end - start)
    return business_between(hours, start, end)


def threshold(
    target: Target, hours: BusinessHours, start: int, due: int, fraction: Fraction, pauses: Pauses = ()
) -> int | None:
    """The instant at which `fraction` of the time from `start` to the deadline `due` has run (R10), rounded up."""
    always = target.clock == "always" and target.business_days is None
    if always and not pauses:
        return start - (-(due - start) * fraction.numerator // fraction.denominator)
    clock = None if always else hours
    resting = 0
    for begin, end in pauses:
        stop = due if end is None else min(end, due)
        if stop > max(begin, start):
            resting += stop - max(begin, start) if always else business_between(hours, max(begin, start), stop)
    total = elapsed(target, hours, start, due) - resting
    return _elapsing(clock, start, -(-total * fraction.numerator // fraction.denominator), pauses)
