"""`sla what-if` has of each policy what `sla simulate` has: the breaches that stand, and of each closed month what its
latest statement says. Over all recorded histories, and over drawn ones under policies that differ in everything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from histories import LAGS, arriving, stories
from hypothesis import given, settings
from hypothesis import strategies as st
from story import Line, micros, policies, shipped, texts, with_credit, with_severity

from cli.replay.outcome import data_of, outcome_of
from streams.policy.load import default_policies_dir, load_policies
from streams.replay.simulate import simulate
from streams.replay.what_if import PolicyComparer
from streams.replay.what_if_result import Comparison, Months, compare, credits_of, replacing
from streams.sla.arrival import TimeLimits
from streams.sla.erasure import Erasures
from streams.sla.instants import DAY, HOUR, parse_rfc3339
from streams.sla.policy import Policies, StatementTimes, Target
from tests.replay.recorded_histories import GOLDENS, Golden

LIMITS = TimeLimits(orphan_after=40 * DAY)
#: Other targets, credits and times of statements, and a version that follows another within the stories.
STRICT = replace(
    with_credit(
        with_severity(shipped(), "P1", response=Target(HOUR // 4)), step="started", below_percent=shipped().guarantee
    ),
    version="2",
    digest="2",
    downtime_impacts=frozenset(["complete_outage", "processing_delay"]),
    statements=StatementTimes(grace=2 * DAY, provisional_every=DAY, adjust_after=5 * DAY),
)
LATER = replace(STRICT, version="3", digest="3", effective_from=parse_rfc3339("2026-03-02T12:00:00Z"), guarantee=1)
AT_ONCE = replace(STRICT, version="4", digest="4", statements=StatementTimes(0, DAY, 0))
OTHERS = [[STRICT], [STRICT, LATER], [shipped(), LATER], [AT_ONCE]]


def compared(
    lines: Sequence[str], sides: tuple[Policies, Policies], until: int | None, *, parts: int = 1, backfill: bool = False
) -> tuple[Comparison, tuple[Months, Months]]:
    found = []
    for part in range(parts):
        comparer = PolicyComparer(*sides, LIMITS, part=part, parts=parts, until=until, backfill=backfill)
        for number, line in enumerate(lines, 1):
            comparer.read(number, line)
        found.append(comparer.end())
    old, new = (credits_of(found, side, LIMITS) for side in sides)
    return compare(found, old, new), (old, new)


def check_side(lines: Sequence[str], side: Policies, until: int | None, months: Months, *, backfill: bool) -> int:
    """Each closed month is as simulated; returns how many breaches stand."""
    outcome = outcome_of(simulate(lines, side, until=until, backfill=backfill, time_limits=LIMITS))
    stated = {
        key: (data_of(one)["credit"], data_of(one)["guarantee_met"])
        for key, one in outcome.statements.items()
        if data_of(one)["status"] != "provisional"
    }
    closed = {
        key: ({"amount_minor": one.credit, "currency": one.currency}, one.guarantee_met)
        for key, one in months.items()
        if one.final
    }
    erasures = Erasures(LIMITS.pseudonym_key)
    for tenant, _ in [*stated, *outcome.statements]:
        if any(name == erasures.pseudonym(tenant) for name, _ in months):
            stated = {key: value for key, value in stated.items() if key[0] != tenant}
    assert closed == stated
    return len(outcome.standing_breaches())


@pytest.mark.parametrize("until", [True, False], ids=["until", "to-the-last-line"])
@pytest.mark.parametrize("golden", GOLDENS, ids=lambda golden: golden.name)
def test_a_recorded_history_under_an_unchanged_policy_is_as_simulated(golden: Golden, until: bool) -> None:
    tree = load_policies(default_policies_dir())
    side = Policies.of(tree, golden.policy)
    lines = golden.input.read_text(encoding="utf-8").splitlines()
    end = parse_rfc3339(golden.until) if until and golden.until is not None else None
    found, months = compared(lines, (side, side), end, backfill=golden.backfill)
    assert months[0] == months[1]
    assert (found.gained, found.lost, found.months) == ([], [], [])
    assert found.total.old == check_side(lines, side, end, months[0], backfill=golden.backfill)


@settings(max_examples=settings.default.max_examples * 2 // 5)
@given(stories(), st.data())
def test_both_sides_are_as_simulated(story: list[Line], data: st.DataObject) -> None:
    lines = texts(arriving(story, data.draw(st.lists(LAGS, min_size=len(story), max_size=len(story)))))
    after = data.draw(st.sampled_from([None, "2026-04-03T00:00:00Z", "2026-04-03T12:30:00Z", "2026-05-10T00:00:00Z"]))
    until = None if after is None else micros(after)
    backfill = data.draw(st.booleans())
    sides = policies(), replacing([shipped()], data.draw(st.sampled_from(OTHERS)), {"scalr-emergency"})
    found, months = compared(lines, sides, until, backfill=backfill)
    breaches = [
        check_side(lines, side, until, each, backfill=backfill) for side, each in zip(sides, months, strict=True)
    ]
    assert [found.total.old, found.total.new] == breaches
    assert compared(lines, sides, until, parts=3, backfill=backfill) == (found, months)
