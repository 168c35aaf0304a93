"""The arithmetic of statements, followed with a pocket calculator: every statement of two histories, to the cent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from fractions import Fraction
from pathlib import Path

import pytest
from board_history import NOW, story
from story import policies, shipped, with_credit

from board.arithmetic import ArithmeticLine, arithmetic, number_text
from streams.policy.load import default_policies_dir, load_policies
from streams.replay.simulate import simulate
from streams.serde.cloudevents_json import from_json
from streams.sla.credits.intervals import Interval
from streams.sla.credits.submitted import SubmittedStatement, submitted_statement
from streams.sla.events import Rejection
from streams.sla.instants import DAY, HOUR, MINUTE
from streams.sla.policy import Policies, Policy

ROOT = Path(__file__).parents[2]
EXAMPLES = [ROOT / "examples" / "data" / name for name in ("contracts.jsonl", "code-hosting-2022-2024.jsonl")]


def statements(lines: list[str], deployed: Policies, until: int | None) -> Iterator[tuple[SubmittedStatement, int]]:
    """Every statement, with the credit that was issued before it."""
    issued: dict[tuple[object, object], int] = {}
    for output in simulate(lines, deployed, until=until):
        data = json.loads(json.dumps(output["data"]))
        key = data.get("tenant_id"), data.get("month")
        if output["type"] == "credit.statement":
            parsed = from_json({**output, "data": data})
            assert not isinstance(parsed, Rejection), parsed
            yield submitted_statement(parsed[1], data), issued.get(key, 0)
        elif output["type"] == "credit.issued":
            issued[key] = issued.get(key, 0) + data["amount"]["amount_minor"]


def by_name(lines: list[ArithmeticLine]) -> dict[str, ArithmeticLine]:
    return {line.name.partition(".")[0]: line for line in lines}


def check(terms: SubmittedStatement, policy: Policy, before: SubmittedStatement | None, issued: int) -> None:
    lines = arithmetic(terms, policy, before=before, issued=issued)
    assert [line.name for line in lines if line.stated is not None] == [], terms
    value = {name: line.value for name, line in by_name(lines).items()}
    assert value["period"] - value["outside"] == value["eligible"] == terms.eligible
    assert value["eligible"] - value["excluded"] == value["counted"]
    assert value["counted"] - value["downtime"] == value["up"]
    assert value["availability"] == (value["up"] / value["counted"] if value["counted"] else 1)
    assert value["shortfall"] == max(0, policy.credit.below_percent - 100 * value["availability"])
    assert value["uncapped"] == value["points"] * policy.credit.percent_per_point
    assert value["percent"] == min(policy.credit.cap_percent, value["uncapped"])
    # As a calculator with twelve digits does it.
    with localcontext() as context:
        context.prec = 28
        percent = Decimal(value["percent"].numerator) / Decimal(value["percent"].denominator)
        credit = (Decimal(terms.charge) * percent / 100).quantize(Decimal(1), ROUND_HALF_EVEN)
    assert credit == value["credit"] == terms.credit
    if before is not None and terms.status == "adjusted":
        assert value["delta"] == terms.credit - before.credit == terms.delta
        assert value["waived"] == terms.waived


def check_all(found: Iterator[tuple[SubmittedStatement, int]], deployed: Policies) -> list[str]:
    settled: dict[tuple[str, str], SubmittedStatement] = {}
    statuses = []
    for terms, issued in found:
        policy = deployed.exact(*terms.policy[:2])
        assert policy is not None
        check(terms, policy, settled.get((terms.tenant, terms.month)), issued)
        if terms.status != "provisional":
            settled[terms.tenant, terms.month] = terms
        statuses.append(terms.status)
    return statuses


def test_every_statement_of_the_boards_history_can_be_followed() -> None:
    statuses = check_all(statements(story(), policies(), NOW), policies())
    assert len(statuses) > 100
    assert set(statuses) == {"provisional", "final", "adjusted"}


def test_every_statement_of_the_example_data_can_be_followed() -> None:
    deployed = Policies.of(load_policies(default_policies_dir()), "scalr-emergency")
    lines = [line for path in EXAMPLES for line in path.read_text().splitlines()]
    statuses = check_all(statements(lines, deployed, None), deployed)
    assert len(statuses) > 100


# -- single statements -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def adjusted() -> SubmittedStatement:
    """June of acme: four outages, corrected after the final statement."""
    found = [terms for terms, _ in statements(story(), policies(), NOW)]
    return [one for one in found if (one.tenant, one.month, one.status) == ("acme", "2026-06", "adjusted")][-1]


def test_the_lines_spell_out_the_statement(adjusted: SubmittedStatement) -> None:
    lines = by_name(arithmetic(adjusted, shipped(), before=replace(adjusted, credit=70_000), issued=70_000))
    texts = {name: (line.expression, line.result) for name, line in lines.items()}
    assert texts["downtime"] == ("9,420 s + 25,260 s + 29,520 s + 67,860 s", "132,060 s")
    assert texts["availability"] == ("2,459,940 s ÷ 2,592,000 s = 40,999 ÷ 43,200", "94.905092 %")
    assert texts["guarantee"] == ("94.905092 % < 99.9 %", "")
    assert texts["shortfall"] == ("99 − 100 × 40,999 ÷ 43,200", "4.094907407…")
    assert texts["points"] == ("4.094907407…", "4")
    assert texts["percent"] == ("min(100 %, 40 %)", "40 %")
    assert texts["credit"] == ("$1,500.00 × 40 ÷ 100 = 600", "$600.00")
    assert texts["delta"] == ("$600.00 − $700.00", "-$100.00")
    assert texts["waived"] == ("max($0.00, $700.00 − $600.00)", "$100.00")


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"downtime": 1}, "downtime"),
        ({"credit": 60_001}, "credit"),
        ({"availability": (1, 1, "100.000000")}, "availability"),
        ({"guarantee_met": True}, "guarantee"),
        ({"waived": 5}, "waived"),
        ({"delta": 7}, "delta"),
        ({"exclusions": (Interval(0, MINUTE),)}, "excluded"),
    ],
)
def test_a_line_that_the_statement_does_not_agree_with_says_so(
    adjusted: SubmittedStatement, change: dict[str, object], line: str
) -> None:
    changed = replace(adjusted, **change)  # type: ignore[arg-type]
    lines = by_name(arithmetic(changed, shipped(), before=adjusted, issued=0))
    assert lines[line].stated is not None


def test_a_month_without_time_under_contract_met_its_guarantee(adjusted: SubmittedStatement) -> None:
    empty = replace(
        adjusted,
        eligible=0,
        excluded=0,
        downtime=0,
        intervals=(),
        availability=(1, 1, "100.000000"),
        guarantee_met=True,
        credit=0,
        charge=0,
    )
    lines = by_name(arithmetic(empty, shipped()))
    assert (lines["counted"].result, lines["availability"].result) == ("0 s", "100.000000 %")
    assert lines["credit"].value == 0
    assert all(line.stated is None for line in lines.values())


def test_without_the_policy_the_lines_end_with_the_availability(adjusted: SubmittedStatement) -> None:
    assert [line.name for line in arithmetic(adjusted, None)][-1] == "availability"


@pytest.mark.parametrize(("step", "points"), [("whole", "0"), ("started", "1"), ("pro_rata", "0.5")])
def test_points_count_as_the_policy_says(adjusted: SubmittedStatement, step: str, points: str) -> None:
    """98.5 % is half a point under 99 %."""
    span = (adjusted.period.start, adjusted.period.start + 10 * HOUR + 48 * MINUTE)
    half = replace(adjusted, eligible=30 * DAY, excluded=0, downtime=span[1] - span[0], intervals=(Interval(*span),))
    lines = by_name(arithmetic(half, with_credit(shipped(), step=step)))
    assert (lines["shortfall"].result, lines["points"].result) == ("0.5", points)


def test_many_outages_are_not_written_out(adjusted: SubmittedStatement) -> None:
    start = adjusted.period.start
    spans = tuple(Interval(start + n * HOUR, start + n * HOUR + MINUTE) for n in range(13))
    lines = by_name(arithmetic(replace(adjusted, intervals=spans, downtime=13 * MINUTE), shipped()))
    line = lines["downtime"]
    assert (line.expression, line.spans, line.result) == ("", 13, "780 s")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Fraction(5, 2), "2.5"),
        (Fraction(1, 3), "0.333333333…"),
        (Fraction(-1, 3), "-0.333333333…"),
        (Fraction(1_234_567), "1,234,567"),
        (Fraction(1, 10**10), "0…"),
    ],
)
def test_numbers_that_do_not_end_are_cut(value: Fraction, text: str) -> None:
    assert number_text(value) == text
