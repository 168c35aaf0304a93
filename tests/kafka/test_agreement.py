"""All of examples/data through Kafka and simulation: the same verdicts and amounts, also across kill -9 (R32)."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from shared_stack import SharedStack

from cli.demo.command import history
from cli.events.publish_lines import publish_lines
from cli.kafka_io.follower import Follower
from cli.replay.outcome import Outcome, disagreements, outcome_of
from streams.policy.load import default_policies_dir, load_policies
from streams.replay.simulate import simulate
from streams.sla.policy import Policies
from streams.time_source import SystemTimeSource
from tests.waiting import TIMEOUT_S

pytestmark = pytest.mark.kafka

OUTPUTS = ("incidents", "alerts", "impacts", "credits", "rejected")
SETTINGS = {
    "SLA_DEFAULT_POLICY": "code-hosting",
    "SLA_BACKFILL_QUIET": "PT6S",
    "SLA_MARK_EVERY": "PT0.5S",
    "SLA_SESSION_TIMEOUT": "PT4S",
}


@pytest.fixture
def follower(stack: SharedStack) -> Iterator[Follower]:
    with Follower(stack.bootstrap, [stack.topic(name) for name in OUTPUTS]) as following:
        yield following


@pytest.fixture
def stack(broker: str, prefix: str, tmp_path: Path) -> Iterator[SharedStack]:
    with SharedStack(broker, f"{prefix}sla", tmp_path, environment=SETTINGS) as running:
        running.apply_topics()
        yield running


def expected_outcome(lines: list[str]) -> Outcome:
    policies = Policies.of(load_policies(default_policies_dir()), "code-hosting")
    return outcome_of(simulate(lines, policies, until=SystemTimeSource().now(), backfill=True))


def test_agreement_over_all_of_the_real_data_with_kills_in_mid_load(stack: SharedStack, follower: Follower) -> None:
    """R32: nothing lost, nothing doubled, the same result, though the worker is killed while it applies the load."""
    lines = list(history())
    expected = expected_outcome(lines)
    stack.start_worker()
    outcome = Outcome()
    read: Counter[str] = Counter()
    # All at once: a pause of SLA_BACKFILL_QUIET would end the load, and what comes then is adjusted an hour later.
    publish_lines(lines, [stack.bootstrap], stack.prefix, backfill=True)
    kills = 0
    deadline = time.monotonic() + 2 * TIMEOUT_S
    while time.monotonic() < deadline:
        for event in follower.poll(0.2):
            read[str(event["id"])] += 1
            outcome.add(event)
        if kills < 2 and len(outcome.closed) > 50 * (kills + 1):
            stack.kill_worker()
            kills += 1
            stack.start_worker()
        complete = len(outcome.statements) >= len(expected.statements)
        if kills == 2 and complete and not disagreements(expected, outcome):
            break
    assert kills == 2
    assert disagreements(expected, outcome) == []
    assert follower.rejected == 0
    doubled = [name for name, count in read.items() if count > 1]
    assert doubled == []
    assert outcome.kinds["impact.changed"] == expected.kinds["impact.changed"]
    assert outcome.kinds["incident.closed"] == expected.kinds["incident.closed"]
    assert stack.stop_worker() == 0
