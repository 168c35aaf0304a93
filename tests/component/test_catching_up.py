"""R26: a ledger that catches up publishes the statements and credits of one that ran all the time."""

from __future__ import annotations

import json
from typing import Any

import pytest
from agent_harness import Cluster
from catching_up import CatchingUp, credits_of
from hypothesis import given, settings
from hypothesis import strategies as st
from story import (
    amended,
    annulled,
    claimed,
    contract,
    erased,
    maintenance,
    maintenance_cancelled,
    opened,
    policies,
    resolved,
)

from streams.sla.instants import DAY, HOUR, MINUTE, SECOND, format_rfc3339, parse_rfc3339

PARTITIONS = 3
MARCH, NOW = parse_rfc3339("2026-03-01T00:00:00Z"), parse_rfc3339("2026-05-10T00:00:00Z")
LOADED_AT = parse_rfc3339("2026-04-12T00:00:00Z")
Line = dict[str, Any]
Published = tuple[Line, int]
"""An input and its arrival."""


def subjects(prefix: str) -> list[str]:
    """A subject for each partition."""
    cluster = Cluster(policies(), partitions=PARTITIONS)
    names = [f"{prefix}{number}" for number in range(60)]
    return [next(name for name in names if cluster.own(name) == partition) for partition in range(PARTITIONS)]


INCIDENT_IDS, TENANTS, MAINTENANCES = subjects("inc"), subjects("tenant"), subjects("m")


def live(published: list[Published]) -> Cluster:
    """Time passes everywhere before each input."""
    cluster = Cluster(policies(), partitions=PARTITIONS)
    for line, arrival in published:
        cluster.pass_time(arrival)
        cluster.publish(line, arrival)
    cluster.pass_time(NOW)
    return cluster


def catching_up(published: list[Published], seed: int, restarts: float = 0.0) -> CatchingUp:
    cluster = CatchingUp(policies(), partitions=PARTITIONS, now=NOW, seed=seed, restarts=restarts)
    for line, arrival in published:
        cluster.append(line, arrival)
    cluster.run()
    return cluster


#: Days of March, and of April around the final statement and after it, at some hours; often on the same instants.
TIMES = st.tuples(st.integers(5, 45), st.sampled_from([0, 0, 1, 2, 12])).map(
    lambda at: MARCH + at[0] * DAY + at[1] * HOUR
)


def tenants_of(lines: list[Line]) -> set[str]:
    return {line["subject"] for line in lines if line["type"] == "contract.set"}


@st.composite
def histories(draw: st.DrawFn) -> list[Published]:
    lines = [contract("2026-03-01T00:00:00Z", of=name) for name in draw(st.sets(st.sampled_from(TENANTS), min_size=1))]
    tenants = st.one_of(st.none(), st.lists(st.sampled_from(TENANTS), min_size=1, max_size=2, unique=True))
    for name in INCIDENT_IDS:
        begin = draw(TIMES)
        at = format_rfc3339(begin)
        started = draw(st.sampled_from([None, format_rfc3339(max(begin - 20 * DAY, MARCH))]))
        lines.append(opened(at, of=name, tenants=draw(tenants), started=started))
        ended = begin + draw(st.sampled_from([6 * HOUR, 2 * DAY, 9 * DAY]))
        lines.append(resolved(format_rfc3339(ended), of=name))
        for _ in range(draw(st.integers(0, 2))):
            later = format_rfc3339(ended + draw(st.sampled_from([MINUTE, HOUR, 5 * DAY, 14 * DAY])))
            kinds = [
                annulled(later, of=name),
                amended(later, of=name, counts=draw(st.booleans())),
                amended(later, of=name, restored=format_rfc3339(ended + HOUR - DAY)),
            ]
            lines.append(draw(st.sampled_from(kinds)))
    if len(tenants_of(lines)) == 1:  # a window in the partition of the only tenant
        begin = draw(TIMES)
        window = [format_rfc3339(begin + after * HOUR) for after in (0, 1, 30)]
        home = MAINTENANCES[TENANTS.index(*tenants_of(lines))]
        lines.append(maintenance(*window, of=home))
        if draw(st.booleans()):
            lines.append(maintenance_cancelled(format_rfc3339(begin + draw(st.integers(1, 20)) * DAY), of=home))
    for name in draw(st.lists(st.sampled_from(TENANTS), max_size=3)):
        at = format_rfc3339(draw(TIMES))
        kinds = [claimed(at, "2026-03", of=name), claimed(at, "2026-03", of=name), contract(at, of=name, charge=70_000)]
        lines.append(draw(st.sampled_from(kinds)))
    published, loads = [], draw(st.booleans())
    for number, line in enumerate(lines):
        arrival = parse_rfc3339(line["time"])
        if loads and arrival < LOADED_AT and draw(st.booleans()):  # history, with pauses that end the load or do not
            arrival = LOADED_AT + number * draw(st.sampled_from([SECOND, SECOND, MINUTE, 20 * MINUTE, DAY]))
            line["backfill"] = True
        published.append((line | {"id": f"e{number}"}, arrival))
    return sorted(published, key=lambda each: each[1])


@settings(max_examples=20, deadline=None)
@given(histories(), st.integers(0, 1_000_000), st.sampled_from([0.0, 0.0, 0.05, 0.3]))
def test_r26_any_interleaving_of_partitions_gives_the_statements_of_a_live_run(
    published: list[Published], seed: int, restarts: float
) -> None:
    expected = live(published)
    found = catching_up(published, seed, restarts)
    assert credits_of(found) == credits_of(expected)
    assert not found.doubled()
    assert not found.rows("ledger", "@early")
    assert sorted(found.codes()) == sorted(expected.codes())


@pytest.mark.parametrize("amended_on", ["2026-04-03T00:00:00Z", "2026-04-10T00:00:00Z"])
def test_r26_an_erasure_that_is_read_late_dates_no_later_input_back(amended_on: str) -> None:
    """An incident partition that is ahead has applied what arrived after the erasure, when it gives the tenant its
    pseudonym: the impact list that follows rests on that too."""
    tenant, name = TENANTS[0], INCIDENT_IDS[1]
    lines = [
        contract("2026-03-01T00:00:00Z", of=tenant),
        opened("2026-03-18T00:00:00Z", of=name, tenants=[tenant], started="2026-03-01T00:00:00Z"),
        claimed("2026-03-20T00:00:00Z", "2026-03", of=tenant),
        erased("2026-03-23T00:00:00Z", of=tenant),
        amended(amended_on, of=name, counts=False),
    ]
    published = [(line, parse_rfc3339(line["time"])) for line in lines]
    expected = amounts(live(published))
    for seed in range(10):
        assert amounts(catching_up(published, seed)) == expected


def amounts(cluster: Cluster) -> list[list[Any]]:
    """Every statement and credit without names and ids: statements before an erasure may have either name."""
    return sorted(json.loads(each)[1:-1] for each in credits_of(cluster))
