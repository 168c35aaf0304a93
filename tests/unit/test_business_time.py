"""R19: business days and hours in the vendor's calendar, across weekends, holidays, DST and the end of time."""

from __future__ import annotations

import pytest

from streams.sla import calendar
from streams.sla.instants import HOUR, LATEST, MINUTE, format_rfc3339, month_bounds, month_of, parse_rfc3339
from streams.sla.policy import BusinessHours, Target

WEEK = (*[(9 * 60, 17 * 60)] * 5, None, None)
OFFICE = BusinessHours("UTC", WEEK, None)


def due(hours: BusinessHours, start: str, target: Target) -> str:
    found = calendar.deadline(target, hours, parse_rfc3339(start))
    assert found is not None
    return format_rfc3339(found)


@pytest.mark.parametrize(
    ("start", "days", "expected"),
    [
        ("2026-03-02T10:00:00Z", 1, "2026-03-03T10:00:00Z"),  # Monday to Tuesday
        ("2026-03-06T16:59:59Z", 1, "2026-03-09T16:59:59Z"),  # Friday to Monday
        ("2026-03-06T17:00:00Z", 1, "2026-03-10T09:00:00Z"),  # closed: as Monday 09:00
        ("2026-03-07T12:00:00Z", 1, "2026-03-10T09:00:00Z"),  # Saturday
        ("2026-03-02T03:00:00Z", 1, "2026-03-03T09:00:00Z"),  # before the office opens
        ("2026-03-02T09:00:00Z", 1, "2026-03-03T09:00:00Z"),
        ("2026-03-04T10:00:00Z", 3, "2026-03-09T10:00:00Z"),
        ("2026-02-27T10:00:00Z", 1, "2026-03-02T10:00:00Z"),  # month end
    ],
)
def test_r19_n_business_days_are_the_same_local_time_on_the_nth_working_day(
    start: str, days: int, expected: str
) -> None:
    assert due(OFFICE, start, Target(business_days=days)) == expected


def test_r19_holidays_of_a_country_are_no_working_days() -> None:
    japan = BusinessHours("Asia/Tokyo", WEEK, "JP")
    # 2026-05-03 to 05-06 are holidays; May 1 is a Friday.
    assert due(japan, "2026-05-01T10:00:00+09:00", Target(business_days=1)) == "2026-05-07T01:00:00Z"
    assert due(japan, "2026-05-04T10:00:00+09:00", Target(business_days=1)) == "2026-05-08T00:00:00Z"
    bavaria = BusinessHours("Europe/Berlin", WEEK, "DE-BY")
    assert due(bavaria, "2026-01-05T10:00:00+01:00", Target(business_days=1)) == "2026-01-07T09:00:00Z"


NIGHT = BusinessHours("Europe/Berlin", tuple([(0, 6 * 60)] * 7), None)


def test_r19_a_local_time_that_dst_skips_moves_forward() -> None:
    # On 2026-03-29 Berlin jumps from 02:00 to 03:00: 02:30 becomes 03:30 summer time.
    assert due(NIGHT, "2026-03-28T02:30:00+01:00", Target(business_days=1)) == "2026-03-29T01:30:00Z"


def test_r19_a_local_time_that_dst_repeats_means_the_first() -> None:
    # On 2026-10-25 Berlin goes from 03:00 back to 02:00: 02:30 comes twice.
    assert due(NIGHT, "2026-10-24T02:30:00+02:00", Target(business_days=1)) == "2026-10-25T00:30:00Z"
    second = "2026-10-25T02:30:00+01:00"
    assert due(NIGHT, second, Target(business_days=1)) == "2026-10-26T01:30:00Z"


def test_r19_business_hours_elapse_in_utc() -> None:
    # The night of 2026-03-29 has five opening hours, that of 2026-10-25 seven.
    within = Target(within=6 * HOUR, clock="business")
    assert due(NIGHT, "2026-03-29T00:00:00+01:00", within) == "2026-03-29T23:00:00Z"
    assert due(NIGHT, "2026-10-25T00:00:00+02:00", within) == "2026-10-25T04:00:00Z"
    assert due(OFFICE, "2026-03-06T16:00:00Z", Target(within=2 * HOUR, clock="business")) == "2026-03-09T10:00:00Z"
    assert due(OFFICE, "2026-03-06T15:00:00Z", Target(within=2 * HOUR, clock="business")) == "2026-03-06T17:00:00Z"


def test_r19_opening_hours_that_dst_swallows_are_none() -> None:
    gap = BusinessHours("Europe/Berlin", tuple([(2 * 60 + 30, 3 * 60)] * 7), None)
    found = due(gap, "2026-03-28T02:30:00+01:00", Target(within=45 * MINUTE, clock="business"))
    assert found == "2026-03-30T00:45:00Z"


def test_r19_a_day_that_a_zone_skips_is_no_working_day() -> None:
    # Samoa went from 2011-12-29 straight to 2011-12-31; its hours are not counted twice on the day after.
    every_day = BusinessHours("Pacific/Apia", tuple([(9 * 60, 17 * 60)] * 7), None)
    start = "2011-12-29T09:00:00-10:00"
    assert due(every_day, start, Target(within=20 * HOUR, clock="business")) == "2011-12-31T23:00:00Z"
    assert due(every_day, start, Target(business_days=2)) == "2011-12-31T19:00:00Z"


def test_r28_nothing_is_due_after_the_year_9999() -> None:
    for target in (
        Target(within=HOUR),
        Target(within=2 * HOUR, clock="business"),
        Target(business_days=3),
    ):
        assert calendar.deadline(target, OFFICE, LATEST - MINUTE) is None
    assert calendar.business_between(OFFICE, LATEST - MINUTE, LATEST) == 0


PAUSED = [
    # (opened, pauses, deadline of one business day)
    ("2026-03-07T10:00:00Z", [("2026-03-07T12:00:00Z", "2026-03-07T13:00:00Z")], "2026-03-10T09:00:00Z"),  # Saturday
    ("2026-03-02T18:00:00Z", [("2026-03-03T17:30:00Z", "2026-03-03T18:00:00Z")], "2026-03-04T09:00:00Z"),  # evening
    ("2026-03-02T10:00:00Z", [("2026-03-02T08:00:00Z", "2026-03-02T09:00:00Z")], "2026-03-03T10:00:00Z"),  # before it
    ("2026-03-02T10:00:00Z", [("2026-03-02T12:00:00Z", "2026-03-02T13:00:00Z")], "2026-03-03T11:00:00Z"),
    ("2026-03-02T09:00:00Z", [("2026-03-02T10:00:00Z", "2026-03-03T10:00:00Z")], "2026-03-03T17:00:00Z"),
    # It began before the deadline and ends after it: nothing is past when it ends.
    ("2026-03-02T09:00:00Z", [("2026-03-02T17:30:00Z", "2026-03-03T12:00:00Z")], "2026-03-03T12:00:00Z"),
    ("2026-03-02T09:00:00Z", [("2026-03-02T17:30:00Z", "2026-03-03T18:00:00Z")], "2026-03-04T09:00:00Z"),
    ("2026-03-02T09:00:00Z", [("2026-03-02T17:30:00Z", None)], None),
    ("2026-03-02T10:00:00Z", [("2026-03-02T12:00:00Z", None)], None),
    ("2026-03-02T09:00:00Z", [("2026-03-03T09:00:00Z", "2026-03-03T12:00:00Z")], "2026-03-03T09:00:00Z"),  # too late
    (
        "2026-03-02T09:00:00Z",
        [("2026-03-02T17:30:00Z", "2026-03-03T18:00:00Z"), ("2026-03-03T19:00:00Z", "2026-03-04T10:30:00Z")],
        "2026-03-04T10:30:00Z",
    ),
]


@pytest.mark.parametrize(("start", "spans", "expected"), PAUSED)
def test_r14_a_deadline_in_business_days_moves_by_the_business_time_of_pauses(
    start: str, spans: list[tuple[str, str | None]], expected: str | None
) -> None:
    pauses = calendar.Pauses()
    for begin, end in spans:
        pauses.begin(parse_rfc3339(begin))
        if end is not None:
            pauses.end(parse_rfc3339(end))
    found = calendar.deadline(Target(business_days=1), OFFICE, parse_rfc3339(start), pauses)
    assert (None if found is None else format_rfc3339(found)) == expected


def test_r14_a_business_day_with_other_hours_keeps_its_local_time_after_a_pause_that_is_over() -> None:
    short = BusinessHours("UTC", ((9 * 60, 17 * 60), (9 * 60, 12 * 60), *WEEK[2:]), None)
    over = calendar.Pauses([(parse_rfc3339("2026-03-02T10:00:00Z"), parse_rfc3339("2026-03-02T11:00:00Z"))])
    found = calendar.deadline(Target(business_days=1), short, parse_rfc3339("2026-03-02T16:30:00Z"), over)
    assert found == parse_rfc3339("2026-03-03T16:30:00Z")


@pytest.mark.parametrize(
    ("zone", "month", "start", "end"),
    [
        ("UTC", "2026-03", "2026-03-01T00:00:00Z", "2026-04-01T00:00:00Z"),
        ("Asia/Tokyo", "2026-03", "2026-02-28T15:00:00Z", "2026-03-31T15:00:00Z"),
        ("Europe/Berlin", "2026-03", "2026-02-28T23:00:00Z", "2026-03-31T22:00:00Z"),
        ("America/New_York", "2026-11", "2026-11-01T04:00:00Z", "2026-12-01T05:00:00Z"),
        ("America/Havana", "2020-11", "2020-11-01T04:00:00Z", "2020-12-01T05:00:00Z"),  # midnight comes twice
        ("Pacific/Kiritimati", "2026-12", "2026-11-30T10:00:00Z", "2026-12-31T10:00:00Z"),
    ],
)
def test_r24_a_month_is_the_calendar_month_of_its_zone(zone: str, month: str, start: str, end: str) -> None:
    bounds = month_bounds(month, zone)  # type: ignore[arg-type]
    assert tuple(map(format_rfc3339, bounds)) == (start, end)
    assert month_of(bounds[0], zone) == month_of(bounds[1] - 1, zone) == month
    assert month_of(bounds[1], zone) != month


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/New_York"])
def test_r24_months_at_both_ends_of_time(zone: str) -> None:
    assert month_of(LATEST, zone) == "9999-12"
    assert month_bounds(month_of(0, zone), zone)[0] <= 0
