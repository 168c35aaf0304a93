"""The credit formula (R25): availability as an exact fraction, percentage points under the limit, one rounding."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor

from streams.sla.policy import CreditRule

HUNDRED = Fraction(100)


def availability(eligible: int, excluded: int, downtime: int) -> Fraction:
    """The share of time that was up: 1 − downtime ∕ (eligible − excluded); 1 when nothing counts."""
    denominator = eligible - excluded
    return Fraction(denominator - downtime, denominator) if denominator > 0 else Fraction(1)


def credit_percent(rule: CreditRule, available: Fraction) -> Fraction:
    """min(cap, percent_per_point × points), where `step` defines how points are counted."""
    points = rule.below_percent - available * HUNDRED
    if points <= 0:
        return Fraction(0)
    if rule.step == "whole":
        points = Fraction(floor(points))
    elif rule.step == "started":
        points = Fraction(ceil(points))
    return min(rule.cap_percent, points * rule.percent_per_point)


def credit_amount(charge_minor: int, percent: Fraction) -> int:
    """Minor units, rounded once, half to even."""
    return round(charge_minor * percent / HUNDRED)


def decimals(value: Fraction, places: int = 6) -> str:
    """A decimal numeral rounded down, so that a percentage never shows as more than it is (contract, Wire format)."""
    scaled = floor(value * 10**places)
    whole, fraction = divmod(scaled, 10**places)
    return f"{whole}.{fraction:0{places}d}"


def plain(value: Fraction) -> str:
    """The shortest decimal numeral with at most six decimals, rounded down: 10, 5, 2.5."""
    text = decimals(value).rstrip("0").rstrip(".")
    return text or "0"
