"""Quarters of the calendar, written 2026-Q1."""

from __future__ import annotations

import re
from collections.abc import Iterable

from streams.sla.instants import Month

_QUARTER = re.compile(r"(?!0000)([0-9]{4})-Q([1-4])")


def quarter_months(quarter: str) -> tuple[Month, ...] | None:
    """The three months of a quarter in order; None for anything else."""
    if (parts := _QUARTER.fullmatch(quarter)) is None:
        return None
    year, number = parts.groups()
    return tuple(Month(f"{year}-{3 * int(number) - back:02d}") for back in (2, 1, 0))


def quarters_of(months: Iterable[str]) -> list[str]:
    """The quarters that these months lie in, the latest first."""
    return sorted({f"{month[:4]}-Q{(int(month[5:]) + 2) // 3}" for month in months}, reverse=True)
