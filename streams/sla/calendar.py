"""Business time (R19): the vendor's hours, holidays and n-th working days, computed in UTC from local wall times."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from fractions import Fraction
from functools import cache, lru_cache
from importlib.metadata import version
from zoneinfo import ZoneInfo

import holidays

from streams.sla.instants import DAY, LATEST, to_datetime, to_micros
from streams.sla.policy import BusinessHours, Target

ONE_DAY = timedelta(days=1)
_EPOCH_DAY = date(1970, 1, 1).toordinal()


@cache
def calendar_version() -> str:
    """The version of the holiday library, recorded in statements."""
    return f"holidays {version('holidays')}"


@cache
def tzdata_version() -> str:
    """The version of the time zone data, recorded in statements."""
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
    """Opening and closing instant of a local day, or None when there are none."""
    span = hours.hours[day.weekday()]
    if span is None or (hours.holidays is not None and day in _holidays(hours.holidays)):
        return None
    opens, closes = _local(day, span[0], hours.zone), _local(day, span[1], hours.zone)
    # DST may skip all of a day's hours, and a zone a whole day: its hours would be those of the next day.
    skipped = opens >= closes or to_datetime(opens).astimezone(ZoneInfo(hours.zone)).date() != day
    return None if skipped else (opens, closes)


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


class Pauses:
    """Half-open intervals in which clocks are paused, ascending; the last may be open-ended (R14).

    It caches how long a clock has run before each pause, so that a deadline does not add up all of them: an incident
    may have a thousand pauses.
    """

    __slots__ = ("_ran", "begins", "ends")

    def __init__(self, spans: Iterable[tuple[int, int]] = ()) -> None:
        self.begins: list[int] = []
        self.ends: list[int] = []
        self._ran: dict[BusinessHours | None, list[int]] = {}
        for begin, end in spans:
            self.begin(begin)
            self.end(end)

    def __bool__(self) -> bool:
        return bool(self.begins)

    @property
    def open(self) -> bool:
        """Whether clocks are paused with no end known."""
        return len(self.begins) > len(self.ends)

    def begin(self, at: int) -> None:
        self.begins.append(at)

    def end(self, at: int) -> int:
        """End the open pause, and drop it if it took no time. Returns when it began."""
        begin = self.begins[-1]
        if begin < at:
            self.ends.append(at)
        else:
            self.begins.pop()
            for ran in self._ran.values():
                del ran[len(self.begins) :]
        return begin

    def reopen(self, begin: int) -> None:
        """Undo `end`."""
        if self.open or not self.begins or self.begins[-1] != begin:
            self.begins.append(begin)
        else:
            self.ends.pop()

    def ran(self, hours: BusinessHours | None) -> list[int]:
        """For each pause, how long a clock has run from the end of the first one until it begins."""
        ran = self._ran.setdefault(hours, [])
        for number in range(len(ran), len(self.begins)):
            ran.append(ran[-1] + _between(hours, self.ends[number - 1], self.begins[number]) if number else 0)
        return ran


NO_PAUSES = Pauses()


def _between(hours: BusinessHours | None, start: int, end: int) -> int:
    return end - start if hours is None else business_between(hours, start, end)


def _elapsing(hours: BusinessHours | None, start: int, amount: int, pauses: Pauses) -> int | None:
    """The instant at which a clock has run for `amount`, pauses excluded; None while it is paused."""
    begins, ends = pauses.begins, pauses.ends
    if not begins:
        return start + amount if hours is None else add_business(hours, start, amount)
    next_pause = bisect_right(ends, start)
    while next_pause < len(begins) and begins[next_pause] <= start:
        if next_pause == len(ends):
            return None
        start = ends[next_pause]
        next_pause += 1
    if next_pause < len(begins):
        ran = pauses.ran(hours)
        already = ran[next_pause] - _between(hours, start, begins[next_pause])
        done_before = bisect_left(ran, already + amount, next_pause)
        if done_before == len(begins) and pauses.open:
            return None
        if done_before > next_pause:
            start, amount = ends[done_before - 1], already + amount - ran[done_before - 1]
    return start + amount if hours is None else add_business(hours, start, amount)


def deadline(target: Target, hours: BusinessHours, start: int, pauses: Pauses = NO_PAUSES) -> int | None:
    """The deadline of a clock that starts at `start`; None while it is paused, or when that is after 9999 (R28)."""
    try:
        if target.business_days is not None:
            due = _business_days(target.business_days, hours, start, pauses)
        else:
            running_hours, amount = _run(target, hours, start)
            due = _elapsing(running_hours, start, amount, pauses)
    except OverflowError:
        return None
    return due if due is not None and due <= LATEST else None


def _business_days(days: int, hours: BusinessHours, start: int, pauses: Pauses) -> int | None:
    """The n-th working day's deadline, moved by the business time of the pauses that begin before it (R14); None while
    it is paused."""
    due = add_business_days(hours, start, days)
    if not pauses.begins:
        return due
    elapsed = _elapsing(hours, start, business_between(hours, start, due), pauses)
    if elapsed is None or elapsed > due:
        return elapsed
    # The pauses so far took no business time. All of it may have run before the deadline, as by the closing of the day
    # before; a pause of the closed hours between does not end the clock early.
    number = bisect_right(pauses.ends, elapsed)
    while number < len(pauses.begins) and pauses.begins[number] < due:
        if number == len(pauses.ends):
            return None
        end = pauses.ends[number]
        if end > due:  # paused over the deadline: due when business goes on
            due = max(end, next(iter(_open_spans(hours, end)))[0])
        number += 1
    return due


def _run(target: Target, hours: BusinessHours, start: int) -> tuple[BusinessHours | None, int]:
    """The hours in which a target's time runs, None for always, and how long a clock that starts at `start` has to
    run."""
    if target.business_days is not None:
        return hours, business_between(hours, start, add_business_days(hours, start, target.business_days))
    assert target.within is not None
    return None if target.clock == "always" else hours, target.within


def before_deadline(
    target: Target, hours: BusinessHours, start: int, remaining: int, pauses: Pauses = NO_PAUSES
) -> int | None:
    """The instant at which a clock that starts at `start` has `remaining` left, counted on that clock (R9): business
    time for a business target, without pauses. Its start when it never has that much; None while it is paused."""
    running_hours, amount = _run(target, hours, start)
    return start if amount <= remaining else _elapsing(running_hours, start, amount - remaining, pauses)


def thresholds(
    target: Target, hours: BusinessHours, start: int, fractions: Iterable[Fraction], pauses: Pauses = NO_PAUSES
) -> list[int | None]:
    """The instants at which such shares of the time from `start` to the deadline have run (R10), rounded up."""
    running_hours, amount = _run(target, hours, start)
    ratios = [fraction.as_integer_ratio() for fraction in fractions]
    return [_elapsing(running_hours, start, -(-amount * above // below), pauses) for above, below in ratios]
