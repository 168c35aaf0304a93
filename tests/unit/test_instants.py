"""RFC 3339 texts as instants, with leap seconds, which other programs write; the months that instants lie in."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.sla.instants import (
    DAY,
    HOUR,
    LATEST,
    Month,
    format_rfc3339,
    month_bounds,
    month_of,
    months_between,
    next_month,
    parse_rfc3339,
    to_datetime,
    to_micros,
)

ZONES = ["UTC", "Asia/Tokyo", "America/Sao_Paulo", "Pacific/Apia", "Pacific/Kiritimati", "Africa/Monrovia"]
#: Most of them near the beginning of a month, where zones differ.
INSTANTS = st.one_of(
    st.integers(0, LATEST),
    st.builds(
        lambda year, month, off: max(0, to_micros(datetime(year, month, 1, tzinfo=UTC)) + off),
        st.integers(1970, 2040),
        st.integers(1, 12),
        st.integers(-15 * HOUR, 15 * HOUR),
    ),
)


@pytest.mark.parametrize(
    "text",
    [
        "2016-12-31T23:59:60Z",
        "2016-12-31T23:59:60.75Z",
        "2016-12-31t23:59:60z",
        "2016-12-31T15:59:60-08:00",
        "2017-01-01T08:59:60+09:00",
    ],
)
def test_a_leap_second_is_the_last_microsecond_before_it(text: str) -> None:
    assert format_rfc3339(parse_rfc3339(text)) == "2016-12-31T23:59:59.999999Z"
    assert month_of(parse_rfc3339(text), "UTC") == "2016-12"


def test_both_letters_may_be_lower_case() -> None:
    """RFC 3339, 5.6."""
    assert parse_rfc3339("2026-11-27t08:00:00.5z") == parse_rfc3339("2026-11-27T08:00:00.5Z")


@pytest.mark.parametrize(
    "text", ["2016-12-31T22:59:60Z", "2016-12-30T23:59:60Z", "2016-12-31T23:58:60Z", "2016-12-31T23:59:60+09:00"]
)
def test_second_60_anywhere_else_is_refused_by_its_name(text: str) -> None:
    with pytest.raises(ValueError, match="only 23:59:60 UTC on the last day of a month may be a leap second"):
        parse_rfc3339(text)


@pytest.mark.parametrize(
    "text", ["2016-13-31T23:59:60Z", "2016-12-31T23:59:61Z", "9999-12-31T23:59:60Z", "2016-12-31T23:59:60"]
)
def test_what_is_no_date_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not an RFC 3339 date-time"):
        parse_rfc3339(text)


@given(INSTANTS, st.sampled_from(ZONES))
def test_an_instant_lies_in_the_month_of_its_local_date(instant: int, zone: str) -> None:
    try:
        local = to_datetime(instant).astimezone(ZoneInfo(zone))
    except OverflowError:
        return
    assert month_of(instant, zone) == f"{local.year:04}-{local.month:02}"


@given(INSTANTS, st.integers(-DAY, 200 * DAY), st.sampled_from(ZONES))
def test_months_between_are_those_that_begin_before_the_end(start: int, length: int, zone: str) -> None:
    expected: list[Month] = []
    month = month_of(start, zone)
    while month_bounds(month, zone)[0] < start + length and month not in expected[-1:]:
        expected.append(month)
        month = month if month == "9999-12" else next_month(month)
    assert list(months_between(start, start + length, zone)) == expected
