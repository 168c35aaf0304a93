"""R32: a load of history that does not end holds what is due; a metric and the log tell for how long."""

from __future__ import annotations

import pytest
from agent_harness import AGENTS, LEDGER, Cluster
from story import contract, micros, opened, policies
from structlog.testing import capture_logs

from agents.backfill_wait import LONG
from streams.metrics import REGISTRY
from streams.sla.instants import HOUR, MINUTE
from streams.sla.timers import Timers

START = micros("2026-03-02T10:00:00Z")


def holding(agent: str) -> float | None:
    return REGISTRY.get_sample_value("sla_backfill_holding_seconds", {"agent": agent, "partition": "0"})


def test_r32_timers_that_wait_for_something_else_are_not_counted() -> None:
    """A ledger whose watermark stands still has timers of closes and evictions that are due."""
    timers = Timers()
    timers.set("acme", None, START)
    assert timers.deferred_due(START + HOUR) == 0
    timers.expect_backfill_until(START + 2 * HOUR)
    assert [timers.deferred_due(START + hours * HOUR) for hours in (0, 1, 2, 3)] == [0, 1, 1, 0]


def looked(cluster: Cluster, now: int) -> None:
    for agent in AGENTS:
        assert cluster.tasks[agent, 0].processor.problems(now) == []


@pytest.mark.parametrize("agent", AGENTS)
def test_r32_a_sender_that_marks_every_event_is_told(agent: str) -> None:
    cluster = Cluster(policies(), partitions=1, mark_every=MINUTE)
    if agent == LEDGER:
        held, kept = contract("2025-11-20T00:00:00Z", backfill=True), contract("2026-02-20T00:00:00Z", of="other")
        more = [contract("2026-01-01T00:00:00Z", of=f"t{number}", backfill=True) for number in range(42)]
    else:
        held, kept = opened("2026-03-02T06:00:00Z", backfill=True), opened("10:00", of="other")
        more = [opened("2026-03-02T09:00:00Z", of=f"i{number}", backfill=True) for number in range(42)]
    cluster.publish(kept, START)
    looked(cluster, START)
    assert holding(agent) == 0
    cluster.publish(held, START)
    with capture_logs() as logs:
        for number, line in enumerate(more):
            now = START + number * 9 * MINUTE
            cluster.pass_time(now)
            cluster.publish(line, now)
            looked(cluster, now + MINUTE)
            assert holding(agent) == number * 9 * 60
        told = [each for each in logs if each["event"] == "backfill_lasts"]
        assert [(each["agent"], each["hours"]) for each in told] == [(agent, LONG // HOUR)], "once"
    quiet = START + len(more) * 9 * MINUTE + 11 * MINUTE
    cluster.pass_time(quiet)
    looked(cluster, quiet)
    assert holding(agent) == 0
