"""R14, R19: deadlines and thresholds against a slow clock that steps through every minute in local wall time."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from functools import lru_cache
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from streams.sla import calendar
from streams.sla.instants import HOUR, MINUTE, to_datetime, to_micros
from streams.sla.policy import BusinessHours, Target

#: Around both changes of daylight saving time, month ends, a leap day and holidays.
DAYS = st.one_of(
    st.dates(datetime(2026, 3, 24).date(), datetime(2026, 4, 8).date()),
    st.dates(datetime(2026, 10, 20).date(), datetime(2026, 11, 5).date()),
    st.dates(datetime(2028, 2, 25).date(), datetime(2028, 3, 4).date()),
)
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Tokyo", "Australia/Lord_Howe"]
HOURS = st.one_of(
    st.just((9 * 60, 17 * 60)), st.just((0, 24 * 60)), st.tuples(st.integers(0, 200), st.integers(260, 24 * 60))
)
WEEK = st.tuples(*[st.one_of(HOURS, st.none())] * 7).filter(lambda week: sum(span is not None for span in week) >= 2)


@st.composite
def offices(draw: st.DrawFn) -> BusinessHours:
    return BusinessHours(draw(st.sampled_from(ZONES)), draw(WEEK), draw(st.sampled_from([None, "DE", "JP"])))


@st.composite
def instants(draw: st.DrawFn) -> int:
    day = draw(DAYS)
    minute = draw(st.integers(0, 24 * 60 - 1))
    return to_micros(datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(minutes=minute))


PAUSES = st.lists(st.tuples(st.integers(1, 600), st.integers(1, 600)), max_size=3)


def pauses_from(start: int, gaps: list[tuple[int, int]]) -> list[tuple[int, int]]:
    found, at = [], start
    for gap, length in gaps:
        found.append((at + gap * MINUTE, at + (gap + length) * MINUTE))
        at = found[-1][1]
    return found


def is_open(hours: BusinessHours, instant: int) -> bool:
    """Whether the minute that begins here lies in the opening hours of its day."""
    bounds = opening(hours, to_datetime(instant).astimezone(ZoneInfo(hours.zone)).date())
    return bounds is not None and bounds[0] <= instant < bounds[1]


@lru_cache(maxsize=64)  # of the days that a test steps through
def opening(hours: BusinessHours, day: date) -> tuple[int, int] | None:
    """The opening hours of a day."""
    span = hours.hours[day.weekday()]
    if span is None or (hours.holidays is not None and calendar._holidays(hours.holidays).get(day)):
        return None
    midnight = datetime(day.year, day.month, day.day)
    begin, end = (
        to_micros((midnight + timedelta(minutes=minutes)).replace(tzinfo=ZoneInfo(hours.zone))) for minutes in span
    )
    return begin, end


def slow_deadline(hours: BusinessHours | None, start: int, minutes: int, pauses: list[tuple[int, int]]) -> int:
    """Step minute by minute until enough have run."""
    at = start
    while minutes:
        resting = any(begin <= at < end for begin, end in pauses)
        if not resting and (hours is None or is_open(hours, at)):
            minutes -= 1
        at += MINUTE
    return at


@given(offices(), instants(), st.integers(1, 900), PAUSES)
def test_business_hours(hours: BusinessHours, start: int, minutes: int, gaps: list[tuple[int, int]]) -> None:
    pauses = pauses_from(start, gaps)
    found = calendar.deadline(Target(within=minutes * MINUTE, clock="business"), hours, start, calendar.Pauses(pauses))
    assert found == slow_deadline(hours, start, minutes, pauses)


@given(offices(), instants(), st.integers(1, 2000), PAUSES)
def test_elapsed_time(hours: BusinessHours, start: int, minutes: int, gaps: list[tuple[int, int]]) -> None:
    pauses = pauses_from(start, gaps)
    found = calendar.deadline(Target(within=minutes * MINUTE), hours, start, calendar.Pauses(pauses))
    assert found == slow_deadline(None, start, minutes, pauses)


@given(offices(), instants(), st.integers(1, 4))
def test_business_days(hours: BusinessHours, start: int, days: int) -> None:
    zone = ZoneInfo(hours.zone)
    base = start
    while not is_open(hours, base):
        base += MINUTE
    local = to_datetime(base).astimezone(zone)
    day, left = local.date(), days
    while left:
        day += timedelta(days=1)
        noons = [
            to_micros(datetime(day.year, day.month, day.day, tzinfo=zone)) + n * 5 * MINUTE for n in range(26 * 12)
        ]
        open_then = [at for at in noons if to_datetime(at).astimezone(zone).date() == day and is_open(hours, at)]
        left -= bool(open_then)
    wanted = datetime.combine(day, local.time().replace(fold=0))
    found = calendar.deadline(Target(business_days=days), hours, start)
    assert found is not None
    reached = to_datetime(found).astimezone(zone)
    if reached.replace(tzinfo=None) == wanted:
        assert reached.fold == 0
    else:  # skipped by daylight saving time: moved forward, by no more than the gap
        assert timedelta(0) < reached.replace(tzinfo=None) - wanted <= timedelta(hours=1)


@given(offices(), instants(), st.integers(1, 900), st.sampled_from(["0.5", "0.75", "0.9"]), PAUSES, st.booleans())
def test_r10_thresholds(
    hours: BusinessHours, start: int, minutes: int, fraction: str, gaps: list[tuple[int, int]], business: bool
) -> None:
    pauses = pauses_from(start, gaps)
    minutes *= 20  # so that every threshold falls on a minute
    minutes = min(minutes, 4000)
    target = Target(within=minutes * MINUTE, clock="business" if business else "always")
    due = calendar.deadline(target, hours, start, calendar.Pauses(pauses))
    assert due is not None
    share = Fraction(fraction)
    (found,) = calendar.thresholds(target, hours, start, [share], calendar.Pauses(pauses))
    assert found == slow_deadline(hours if business else None, start, int(minutes * share), pauses)


@given(offices(), instants(), st.integers(0, 4000))
def test_business_between(hours: BusinessHours, start: int, minutes: int) -> None:
    end = start + minutes * MINUTE
    counted = sum(is_open(hours, at) for at in range(start, end, MINUTE))
    assert calendar.business_between(hours, start, end) == counted * MINUTE


def test_the_slow_clock_itself() -> None:
    office = BusinessHours("UTC", (*[(9 * 60, 17 * 60)] * 5, None, None), None)
    friday = to_micros(datetime(2026, 3, 6, 16, tzinfo=UTC))
    assert slow_deadline(office, friday, 120, []) == friday + 66 * HOUR
