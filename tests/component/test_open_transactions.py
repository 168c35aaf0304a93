"""Records behind an open transaction of another program: nobody can read them, and the worker says so."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.structs import TopicPartition

from streams.metrics import REGISTRY
from streams.runtime.consumer_lag import ConsumerLag
from streams.runtime.errors import TaskInterrupted
from streams.runtime.open_transactions import REPORTED_AFTER_S, OpenTransactions

EVENTS, INTERNAL = TopicPartition("events", 1), TopicPartition("internal", 1)
ALERTS, CHANGELOG = TopicPartition("alerts", 1), TopicPartition("changelog", 1)


class Ends:
    """Where the partitions end, and how far they can be read."""

    def __init__(self) -> None:
        self.end = {EVENTS: 10, INTERNAL: 5, ALERTS: 7, CHANGELOG: 9}
        self.stable = dict(self.end)
        self.silent: set[TopicPartition] = set()

    async def ends(self, partitions: tuple[TopicPartition, ...]) -> Mapping[TopicPartition, int]:
        if not self.silent.isdisjoint(partitions):
            raise TaskInterrupted("end offsets: no leader")
        return {each: self.stable[each] for each in partitions}

    async def stable_ends(self, partitions: tuple[TopicPartition, ...]) -> Mapping[TopicPartition, int]:
        return await self.ends(partitions)

    async def written(self, partitions: tuple[TopicPartition, ...]) -> Mapping[TopicPartition, int]:
        return {each: self.end[each] for each in partitions}


class Bench:
    """The tasks of one worker, and a watch."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.ends = Ends()
        writes = {"reading": ("alerts", "internal", "changelog")}
        self.lag = ConsumerLag(self.ends, OpenTransactions(lambda: self.now), writes)

    def after(self, seconds: float, *tasks: Any) -> list[str]:
        """Measure; returns why the worker is not ready."""
        self.now += seconds
        asyncio.run(self.lag.measure(tasks or (TASK,)))
        return [str(each["reason"]) for each in self.lag.open_transactions.problems()]


def task(agent: str) -> Any:
    return SimpleNamespace(
        agent=agent, partition=1, waiting="", timers_fired=0, applied=lambda: {"events": 10, "internal": 5}
    )


TASK = task("reading")


def open_for(agent: str = "reading") -> float | None:
    return REGISTRY.get_sample_value("sla_task_open_transaction_seconds", {"agent": agent, "partition": "1"})


def test_an_open_transaction_is_told_after_a_minute_and_until_it_has_ended(capsys: pytest.CaptureFixture[str]) -> None:
    bench = Bench()
    assert bench.after(0) == []
    assert open_for() == 0
    bench.ends.end[EVENTS] = 12
    assert bench.after(5) == []
    assert bench.after(REPORTED_AFTER_S - 1) == []
    assert open_for() == REPORTED_AFTER_S - 1
    (reason,) = bench.after(1)
    assert "events-1 can't be read from offset 10 on, for 60 s" in reason
    assert len(bench.after(5)) == 1
    bench.ends.stable[EVENTS] = 12
    assert bench.after(5) == []
    assert open_for() == 0


def test_transactions_that_follow_one_another_are_no_fault() -> None:
    """Workers write internal topics in transactions: at most looks one is open."""
    bench = Bench()
    for _ in range(40):
        bench.ends.stable[INTERNAL] += 3
        bench.ends.end[INTERNAL] = bench.ends.stable[INTERNAL] + 2
        assert bench.after(5) == []
    assert open_for() == 0


def test_each_reader_of_the_topic_is_named_and_forgotten_with_its_task() -> None:
    bench = Bench()
    bench.ends.end[EVENTS] = 12
    both = (TASK, task("other"))
    bench.after(0, *both)
    assert len(bench.after(REPORTED_AFTER_S, *both)) == 2
    assert len(bench.after(1, TASK)) == 1
    assert open_for("other") is None


@pytest.mark.parametrize("place", [ALERTS, CHANGELOG], ids=str)
def test_a_transaction_that_hides_what_a_task_has_written_is_told(place: TopicPartition) -> None:
    """Else pages are not sent, and consumers of the alerts have no lag."""
    bench = Bench()
    bench.ends.end[place] += 2
    assert bench.after(0) == []
    (reason,) = bench.after(REPORTED_AFTER_S)
    assert f"{place.topic}-1 can't be read from offset {bench.ends.stable[place]} on" in reason
    assert open_for() == REPORTED_AFTER_S


@pytest.mark.parametrize("place", [EVENTS, CHANGELOG], ids=str)
def test_a_look_without_an_answer_makes_no_open_transaction_younger(place: TopicPartition) -> None:
    bench = Bench()
    bench.ends.end[place] += 2
    bench.after(0)
    assert bench.after(REPORTED_AFTER_S - 10) == []
    bench.ends.silent = {place}
    assert bench.after(5) == []
    assert open_for() == REPORTED_AFTER_S - 5
    bench.ends.silent = set()
    assert len(bench.after(5)) == 1
    bench.ends.silent = {place}
    assert len(bench.after(5)) == 1
    bench.ends.silent = set()
    bench.ends.stable[place] += 2
    assert bench.after(5) == []
