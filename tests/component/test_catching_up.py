"""R26: a ledger that catches up publishes the statements and credits of one that ran all the time."""

from __future__ import annotations

import json
from typing import Any
from unittest.mock import patch

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
    resolved,
    shipped,
    texts,
    with_severity,
)

from agents.changelog import early_erasures
from agents.changelog.early_inputs import LIMIT
from streams.replay.verify import ReplayedMonths, check_with_events
from streams.serde.cloudevents_json import from_json
from streams.sla.arrival import TimeLimits
from streams.sla.credits.month_close import OUT_OF_ORDER
from streams.sla.credits.submitted import submitted_statement
from streams.sla.instants import DAY, HOUR, MINUTE, SECOND, format_rfc3339, parse_rfc3339
from streams.sla.policy import Policies, Target, UpdateTarget

PARTITIONS = 3
MARCH, NOW = parse_rfc3339("2026-03-01T00:00:00Z"), parse_rfc3339("2026-05-10T00:00:00Z")
LOADED_AT = parse_rfc3339("2026-04-12T00:00:00Z")
#: The plan that is shipped, with an update due once a day: credits depend on none, and each costs timers and alerts.
PLANS = Policies.of([with_severity(shipped(), "P1", updates=UpdateTarget(Target(DAY)))], shipped().name)
Line = dict[str, Any]
Published = tuple[Line, int]
"""An input and its arrival."""


def subjects(prefix: str) -> list[str]:
    """A subject for each partition."""
    cluster = Cluster(PLANS, partitions=PARTITIONS)
    names = [f"{prefix}{number}" for number in range(60)]
    return [next(name for name in names if cluster.own(name) == partition) for partition in range(PARTITIONS)]


INCIDENT_IDS, TENANTS, MAINTENANCES = subjects("inc"), subjects("tenant"), subjects("m")


def live(published: list[Published]) -> Cluster:
    """Time passes everywhere before each input."""
    cluster = Cluster(PLANS, partitions=PARTITIONS)
    for line, arrival in published:
        cluster.pass_time(arrival)
        cluster.publish(line, arrival)
    cluster.pass_time(NOW)
    return cluster


def catching_up(published: list[Published], seed: int, restarts: float = 0.0, early_bytes: int = LIMIT) -> CatchingUp:
    cluster = CatchingUp(PLANS, partitions=PARTITIONS, now=NOW, seed=seed, restarts=restarts, early_bytes=early_bytes)
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


@settings(max_examples=settings.default.max_examples // 5, deadline=None)
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


@settings(max_examples=8, deadline=None)
@given(
    histories(),
    st.integers(0, 1_000_000),
    st.sampled_from([0.0, 0.05, 0.3]),
    st.sampled_from([1, 2_000, 6_000]),
)
def test_r26_a_ledger_at_its_limit_ends_with_the_amounts_of_a_live_run(
    published: list[Published], seed: int, restarts: float, early_bytes: int
) -> None:
    """It applies inputs before their turn. Statements that may count what arrived after them have a flag; what has none
    follows from the inputs."""
    found = catching_up(published, seed, restarts, early_bytes)
    assert settled(found) == settled(live(published))
    assert not found.doubled()
    assert not found.rows("ledger", "@early")
    stated = [each for each in statements(found) if OUT_OF_ORDER not in each["data"]["flags"]]
    if not any(line.get("backfill") for line, _ in published):
        lines = texts([line | {"receivedtime": format_rfc3339(arrival)} for line, arrival in published])
        submitted = [submitted_statement(from_json(each)[1], each["data"]) for each in stated]  # type: ignore[arg-type]
        differing = check_with_events(submitted, lines, ReplayedMonths(PLANS, TimeLimits()))
        assert not [difference for difference in differing.values() if difference is not None]


@settings(max_examples=8, deadline=None)
@given(
    histories(),
    st.sampled_from(TENANTS),
    TIMES,
    st.integers(0, 1_000_000),
    st.sampled_from([0.05, 0.3]),
)
def test_r29_an_erasure_reaches_what_waits_in_slices_whatever_comes_between(
    published: list[Published], tenant: str, at: int, seed: int, restarts: float
) -> None:
    published = sorted([*published, (erased(format_rfc3339(at), of=tenant), at)], key=lambda each: each[1])
    with patch.object(early_erasures, "SLICE_BYTES", 1):
        found = catching_up(published, seed, restarts)
    assert not found.doubled()
    named = [key for task in found.tasks.values() for key, row in task.rows.items() if tenant.encode() in key + row]
    assert not named
    assert not found.rows("ledger", "@early")
    assert amounts(found) == amounts(live(published))


def statements(cluster: Cluster) -> list[Line]:
    return [each for each in cluster.outputs("credits") if each["type"] == "credit.statement"]


def settled(cluster: Cluster) -> list[tuple[Any, ...]]:
    """The amounts of the latest revision of each month that has its final statement."""
    latest: dict[tuple[str, str], Line] = {}
    for data in (each["data"] for each in statements(cluster)):
        key = (data["tenant_id"], data["month"])
        if data["status"] != "provisional" and data["revision"] > latest.get(key, {"revision": 0})["revision"]:
            latest[key] = data
    terms = ("downtime_s", "excluded_s", "eligible_s", "guarantee_met", "credit", "flags")
    return sorted((*key, *(str(data[name]) for name in terms)) for key, data in latest.items())


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


@pytest.mark.parametrize("loaded_at", ["2026-03-25T00:00:00Z", "2026-04-12T00:00:00Z"])
def test_r26_an_erasure_that_is_read_late_dates_no_history_back(loaded_at: str) -> None:
    """Of history the incident keeps only the time that it has for itself (R32)."""
    tenant, name = TENANTS[0], INCIDENT_IDS[0]
    lines = [
        contract("2026-03-01T00:00:00Z", of=tenant),
        opened("2026-03-18T00:00:00Z", of=name, tenants=[tenant], started="2026-03-05T00:00:00Z"),
        resolved("2026-03-18T06:00:00Z", of=name),
        claimed("2026-03-20T00:00:00Z", "2026-03", of=tenant),
        erased("2026-03-23T00:00:00Z", of=tenant),
    ]
    history = amended("2026-03-19T00:00:00Z", of=name, counts=False) | {"backfill": True}
    published = [*((line, parse_rfc3339(line["time"])) for line in lines), (history, parse_rfc3339(loaded_at))]
    expected = amounts(live(published))
    for seed in range(7):
        assert amounts(catching_up(published, seed)) == expected


def amounts(cluster: Cluster) -> list[list[Any]]:
    """Every statement and credit without names and ids: statements before an erasure may have either name."""
    return sorted(json.loads(each)[1:-1] for each in credits_of(cluster))
