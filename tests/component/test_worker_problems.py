"""What keeps a running worker from being ready: nearly everything is rejected, or statements wait for a partition."""

from __future__ import annotations

import pytest
from agent_harness import INCIDENTS, LEDGER, Cluster
from story import contract, micros, opened, policies
from task_bench import Bench, Diary, run

from agents.reject_share import LEAST, WINDOW, RejectShare
from agents.watermark_wait import LONG_WAIT
from streams.metrics import REGISTRY
from streams.sla.instants import MINUTE

START = micros("10:00")


def test_a_wrong_deployment_is_told_by_its_rejects_and_forgotten_with_good_input() -> None:
    share = RejectShare(0.5)
    for number in range(2 * WINDOW):
        assert share.problem() == "" or number >= LEAST
        share.received()
        share.rejected("undecodable" if number % 3 else "invalid")
    assert share.share == 1.0
    assert "100% of the latest" in share.problem()
    assert "most of them as undecodable; above 50% (SLA_REJECT_SHARE_LIMIT)" in share.problem()
    for _ in range(2 * WINDOW):
        share.received()
    assert (share.share, share.problem()) == (0.0, "")


@pytest.mark.parametrize(("limit", "told"), [(0.2, True), (0.3, False)])
def test_the_limit_is_a_setting(limit: float, told: bool) -> None:
    share = RejectShare(limit)
    for number in range(LEAST):
        share.received()
        if number % 4 == 0:
            share.rejected("future")
    assert bool(share.problem()) is told


def test_agents_count_their_inputs_and_what_they_reject() -> None:
    cluster = Cluster(policies(), partitions=1)
    for number in range(LEAST - 1):
        cluster.put("incident-events", 0, b"junk", START + number)
    processor = cluster.tasks[INCIDENTS, 0].processor
    assert processor.problems(START) == []
    cluster.publish(opened("10:00"), START + LEAST)
    (problem,) = processor.problems(START)
    assert "99% of the latest 100 inputs were rejected" in problem
    assert REGISTRY.get_sample_value("sla_reject_share", {"agent": "incidents", "partition": "0"}) == 0.99


def test_statements_that_wait_name_the_incident_partition_that_does_not_answer() -> None:
    cluster = Cluster(policies(), partitions=2)
    cluster.publish(contract("09:00"), START)
    home = cluster.own("acme")
    ledger = cluster.tasks[LEDGER, home]
    due = ledger.processor.next_due()
    assert due is not None
    assert ledger.processor.problems(due + LONG_WAIT) == [], "its instant is not reached"
    cluster.fire(ledger, due + 1)
    cluster.settle()
    cluster.fire(cluster.tasks[INCIDENTS, 0], due + 2)  # partition 1 is halted
    cluster.settle()
    assert ledger.processor.problems(due + 1) == []
    (problem,) = ledger.processor.problems(due + 1 + LONG_WAIT + MINUTE)
    assert "have waited 11 minutes for incident partition 1:" in problem
    waiting = REGISTRY.get_sample_value("sla_ledger_waiting_seconds", {"partition": str(home)})
    assert waiting == (LONG_WAIT + MINUTE) / 1_000_000
    labels = {"partition": str(home), "incident_partition": "1"}
    assert REGISTRY.get_sample_value("sla_ledger_watermark_seconds", labels) == 0
    cluster.fire(cluster.tasks[INCIDENTS, 1], due + 2)
    cluster.settle()
    assert ledger.processor.problems(due + 2 * LONG_WAIT) == []


def test_a_tasks_problems_are_those_of_its_processor_while_it_runs() -> None:
    class Troubled(Diary):
        def problems(self, now: int) -> list[str]:
            return [f"at {now}"]

    async def scenario() -> None:
        bench = Bench(make=Troubled)
        task = bench.start()
        await bench.settle()
        bench.clock.set(7)
        task.look_for_problems()
        assert task.problems == ["at 7"]
        await task.stop()
        assert task.problems == []
        task.look_for_problems()
        assert task.problems == []
        plain = Bench()
        other = plain.start()
        await plain.settle()
        other.look_for_problems()
        assert other.problems == []
        await other.stop()

    run(scenario)
