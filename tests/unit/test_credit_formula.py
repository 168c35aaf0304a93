"""R25: availability to credit, exactly: steps, cap, rounding, and what a month without time is worth."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest
from story import shipped

from streams.sla.credits.formula import availability, credit_amount, credit_percent, decimals, plain

RULE = shipped().credit


@pytest.mark.parametrize(
    ("percent", "whole", "started", "pro_rata"),
    [
        ("100", 0, 0, 0),
        ("99.9", 0, 0, 0),
        ("99", 0, 0, 0),
        ("98.999999", 0, 10, "0.00001"),
        ("98.5", 0, 10, 5),
        ("98", 10, 10, 10),
        ("97.99", 10, 20, "10.1"),
        ("89.01", 90, 100, "99.9"),
        ("89", 100, 100, 100),
        ("88.9", 100, 100, 100),
        ("0", 100, 100, 100),
    ],
)
def test_r25_points_under_99(percent: str, whole: object, started: object, pro_rata: object) -> None:
    available = Fraction(percent) / 100
    for step, expected in (("whole", whole), ("started", started), ("pro_rata", pro_rata)):
        found = credit_percent(replace(RULE, step=step), available)  # type: ignore[arg-type]
        assert found == Fraction(str(expected)), step


def test_r25_the_cap_is_the_policys() -> None:
    assert credit_percent(replace(RULE, cap_percent=Fraction(30)), Fraction(1, 2)) == 30


@pytest.mark.parametrize(
    ("charge", "percent", "amount"),
    [
        (5, "10", 0),
        (15, "10", 2),
        (25, "10", 2),
        (35, "10", 4),
        (1, "50", 0),
        (3, "50", 2),
        (999, "100", 999),
        (0, "100", 0),
    ],
)
def test_r25_one_rounding_half_even(charge: int, percent: str, amount: int) -> None:
    assert credit_amount(charge, Fraction(percent)) == amount


def test_r25_availability_is_exact_and_1_when_nothing_counts() -> None:
    assert availability(3, 0, 1) == Fraction(2, 3)
    assert availability(4, 1, 1) == Fraction(2, 3)
    assert availability(5, 5, 0) == availability(0, 0, 0) == 1


def test_percentages_are_rounded_down_never_up_to_the_guarantee() -> None:
    assert decimals(Fraction(9989999999, 100000000)) == "99.899999"
    assert decimals(Fraction(200, 3)) == "66.666666"
    assert (plain(Fraction(0)), plain(Fraction(10)), plain(Fraction("2.5")), plain(Fraction(100, 3))) == (
        "0",
        "10",
        "2.5",
        "33.333333",
    )
