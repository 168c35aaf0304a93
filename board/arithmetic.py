"""The arithmetic of a statement line by line, from the month's time to the credit, each line from those before it.

A reader with a pocket calculator can follow every line. Values are exact; texts show numbers that do not end with nine
decimals. What a line comes to is computed here and compared with what the statement says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil, floor

from streams.config_files.scalars import exact_decimal
from streams.money import digits_of, formatted
from streams.sla.credits import formula
from streams.sla.credits.intervals import Interval
from streams.sla.credits.submitted import SubmittedStatement, duration
from streams.sla.instants import format_rfc3339
from streams.sla.policy import Policy

#: A sum of at most so many spans is written out.
MOST_SUMMANDS = 12
_DECIMALS = 9


@dataclass(frozen=True, slots=True)
class ArithmeticLine:
    """One line. `name` is the key of its texts, `rule` the rule of docs/semantics.md, `expression` what is computed
    from what, `result` what it comes to; `value` is the result exactly: microseconds, a share, percentage points, a
    percentage or minor units. `stated` is what the statement says where that differs, else None. `spans` is how many
    add up where they are too many to be written out."""

    name: str
    rule: str
    expression: str
    result: str
    value: Fraction
    stated: str | None = None
    spans: int | None = None


def arithmetic(
    terms: SubmittedStatement, policy: Policy | None, *, before: SubmittedStatement | None = None, issued: int = 0
) -> list[ArithmeticLine]:
    """The lines of a statement. `policy` is the version that it names; without it the lines that need one are left out.
    `before` is the previous revision that was not provisional, `issued` what was issued before this revision, in minor
    units."""
    lines, available = _availability(terms)
    if policy is None:
        return lines
    lines.append(_guarantee(terms, policy, available))
    percent_lines, percent = _percent(policy, available)
    lines += percent_lines
    lines += _money(terms, percent, before, issued)
    return lines


def _availability(terms: SubmittedStatement) -> tuple[list[ArithmeticLine], Fraction]:
    period = terms.period.end - terms.period.start
    outside = period - terms.eligible
    counted = terms.eligible - terms.excluded
    up = counted - terms.downtime
    available = formula.availability(terms.eligible, terms.excluded, terms.downtime)
    summary = terms.spans_summary
    numerator, denominator, percent = terms.availability
    shown = f"{available.numerator:,} ÷ {available.denominator:,}"
    text = f"{formula.decimals(available * 100)} %"
    agrees = Fraction(numerator, denominator) == available and f"{percent} %" == text
    bounds = f"{format_rfc3339(terms.period.end)} − {format_rfc3339(terms.period.start)}"
    share = f"{duration(up)} ÷ {duration(counted)} = {shown}" if counted else "1"
    lines = [
        _time("period", "R24", bounds, period),
        _time("outside", "R24", "", outside),
        _time("eligible", "R24", f"{duration(period)} − {duration(outside)}", terms.eligible),
        _sum("excluded", "R23", terms.exclusions, terms.excluded, None if summary is None else summary.exclusions),
        _time("counted", "R25", f"{duration(terms.eligible)} − {duration(terms.excluded)}", counted),
        _sum("downtime", "R22", terms.intervals, terms.downtime, None if summary is None else summary.intervals),
        _time("up", "R25", f"{duration(counted)} − {duration(terms.downtime)}", up),
        ArithmeticLine(
            "availability", "R25", share, text, available, None if agrees else f"{numerator}/{denominator}, {percent} %"
        ),
    ]
    return lines, available


def _sum(name: str, rule: str, spans: Sequence[Interval], stated: int, summarized: int | None) -> ArithmeticLine:
    """Durations that add up; `summarized` is their number where the statement does not list them."""
    if summarized is not None:
        return replace(_time(name, rule, "", stated), spans=summarized)
    total = sum(span.end - span.start for span in spans)
    if len(spans) > MOST_SUMMANDS:
        return replace(_time(name, rule, "", stated, total), spans=len(spans))
    return _time(name, rule, " + ".join(duration(span.end - span.start) for span in spans), stated, total)


def _time(name: str, rule: str, expression: str, stated: int, computed: int | None = None) -> ArithmeticLine:
    value = stated if computed is None else computed
    differs = duration(stated) if value != stated else None
    return ArithmeticLine(name, rule, expression, duration(value), Fraction(value), differs)


def _guarantee(terms: SubmittedStatement, policy: Policy, available: Fraction) -> ArithmeticLine:
    met = available * 100 >= policy.guarantee
    relation = "≥" if met else "<"
    text = f"{formula.decimals(available * 100)} % {relation} {exact_decimal(policy.guarantee)} %"
    name = "guarantee.met" if met else "guarantee.missed"
    stated = None if met == terms.guarantee_met else str(terms.guarantee_met).lower()
    return ArithmeticLine(name, "R25", text, "", Fraction(met), stated)


def _percent(policy: Policy, available: Fraction) -> tuple[list[ArithmeticLine], Fraction]:
    credit = policy.credit
    shortfall = max(Fraction(0), credit.below_percent - available * 100)
    points = shortfall
    if credit.step == "whole":
        points = Fraction(floor(shortfall))
    elif credit.step == "started":
        points = Fraction(ceil(shortfall))
    uncapped = points * credit.percent_per_point
    percent = min(credit.cap_percent, uncapped)
    under = f"{exact_decimal(credit.below_percent)} − 100 × {available.numerator:,} ÷ {available.denominator:,}"
    return [
        ArithmeticLine("shortfall", "R25", under, number_text(shortfall), shortfall),
        ArithmeticLine(f"points.{credit.step}", "R25", number_text(shortfall), number_text(points), points),
        ArithmeticLine(
            "uncapped",
            "R25",
            f"{number_text(points)} × {exact_decimal(credit.percent_per_point)} %",
            f"{number_text(uncapped)} %",
            uncapped,
        ),
        ArithmeticLine(
            "percent",
            "R25",
            f"min({exact_decimal(credit.cap_percent)} %, {number_text(uncapped)} %)",
            f"{number_text(percent)} %",
            percent,
        ),
    ], percent


def _money(
    terms: SubmittedStatement, percent: Fraction, before: SubmittedStatement | None, issued: int
) -> list[ArithmeticLine]:
    currency = terms.currencies[0]

    def money(amount: int) -> str:
        return formatted(amount, currency)

    def line(name: str, expression: str, value: int, stated: int) -> ArithmeticLine:
        return ArithmeticLine(
            name, _RULES[name], expression, money(value), Fraction(value), None if value == stated else money(stated)
        )

    exact = terms.charge * percent / 100
    credit = formula.credit_amount(terms.charge, percent)
    major = number_text(exact / 10 ** digits_of(currency))
    lines = [
        line("charge", "", terms.charge, terms.charge),
        line("credit", f"{money(terms.charge)} × {number_text(percent)} ÷ 100 = {major}", credit, terms.credit),
    ]
    if terms.status == "adjusted" and before is not None:
        delta = credit - before.credit
        lines.append(line("delta", f"{money(credit)} − {money(before.credit)}", delta, terms.delta))
        waived = max(0, issued - credit)
        expression = f"max({money(0)}, {money(issued)} − {money(credit)})"
        lines.append(line("waived", expression, waived, terms.waived))
    return lines


_RULES = {"charge": "R25", "credit": "R25", "delta": "R26", "waived": "R26"}


def number_text(value: Fraction) -> str:
    """A number with all its decimals, or with nine and … where there are more: 2.5, 4.983521126…"""
    scaled = value * 10**_DECIMALS
    cut = floor(abs(scaled))
    whole, rest = divmod(cut, 10**_DECIMALS)
    text = f"{whole:,}" + (f".{rest:0{_DECIMALS}d}".rstrip("0") if rest else "")
    return ("-" if value < 0 else "") + text + ("" if cut == abs(scaled) else "…")
