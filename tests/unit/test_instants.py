"""RFC 3339 texts as instants: leap seconds, which other programs write, are accepted."""

from __future__ import annotations

import pytest

from streams.sla.instants import format_rfc3339, month_of, parse_rfc3339


@pytest.mark.parametrize(
    "text",
    [
        "2016-12-31T23:59:60Z",
        "2016-12-31T23:59:60.75Z",
        "2016-12-31t23:59:60Z",
        "2016-12-31T15:59:60-08:00",
        "2017-01-01T08:59:60+09:00",
    ],
)
def test_a_leap_second_is_the_last_microsecond_before_it(text: str) -> None:
    assert format_rfc3339(parse_rfc3339(text)) == "2016-12-31T23:59:59.999999Z"
    assert month_of(parse_rfc3339(text), "UTC") == "2016-12"


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
