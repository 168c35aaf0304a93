"""Numbers of things in sentences, and which currencies are money today."""

from __future__ import annotations

import pytest

from cli.support.counts import are, counted, valid_files
from streams.money import is_currency


def test_one_thing_is_no_plural() -> None:
    assert [counted(number, "broker") for number in (0, 1, 2, 1_000)] == [
        "0 brokers",
        "1 broker",
        "2 brokers",
        "1,000 brokers",
    ]
    assert (valid_files(1), valid_files(3), are(0)) == ("1 file is valid", "3 files are valid", "are")


@pytest.mark.parametrize("code", ["USD", "EUR", "JPY", "CLF", "UYW", "VES", "SLE"])
def test_money_of_today_is_a_currency(code: str) -> None:
    assert is_currency(code)


@pytest.mark.parametrize("code", ["XXX", "XTS", "DEM", "XAU", "HRK", "EURO", "usd", ""])
def test_what_nobody_pays_with_is_told(code: str) -> None:
    assert not is_currency(code)
