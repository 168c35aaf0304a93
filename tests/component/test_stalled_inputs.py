"""A running task that gets nothing of what Kafka has, without an error, is told: its timers wait, too."""

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
from streams.runtime.stalled_inputs import REPORTED_AFTER_S, StalledInputs


class Ends:
    """Where both partitions of the input end."""

    def __init__(self) -> None:
        self.end = 10
        self.silent = False

    async def ends(self, partitions: tuple[TopicPartition, ...]) -> Mapping[TopicPartition, int]:
        if self.silent:
            raise TaskInterrupted("end offsets: no leader")
        return dict.fromkeys(partitions, self.end)

    async def written(self, partitions: tuple[TopicPartition, ...]) -> Mapping[TopicPartition, int]:
        return await self.ends(partitions)

    stable_ends = written


class Bench:
    """One task that has applied up to `applied`, looked at every five seconds."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.applied = 10
        self.waiting = ""
        self.fired = 0
        self.ends = Ends()
        self.lag = ConsumerLag(self.ends)
        self.lag.stalled = StalledInputs(lambda: self.now)

    def after(self, seconds: float, step: float = 5.0) -> list[str]:
        """Look until then; returns why the worker is not ready."""
        task: Any = SimpleNamespace(
            agent="stalling",
            partition=0,
            waiting=self.waiting,
            timers_fired=self.fired,
            applied=lambda: {"events": self.applied},
        )
        end = self.now + seconds
        while self.now < end:
            self.now += step
            asyncio.run(self.lag.measure([task]))
        return [str(each["reason"]) for each in self.lag.stalled.problems()]


def stalled_s() -> float | None:
    return REGISTRY.get_sample_value("sla_task_stalled_seconds", {"agent": "stalling", "partition": "0"})


def test_a_task_that_applies_nothing_of_what_waits_is_told_until_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    bench = Bench()
    assert bench.after(600) == []
    bench.ends.end = 13
    assert bench.after(REPORTED_AFTER_S) == []
    (reason,) = bench.after(5)
    assert reason == "3 offsets wait in Kafka, and none was applied for 120 s: restart this worker"
    assert len(bench.after(60)) == 1
    assert stalled_s() == REPORTED_AFTER_S + 60
    assert capsys.readouterr().out.count("inputs_stalled") == 1
    bench.applied = 11
    assert bench.after(5) == []
    assert stalled_s() == 0
    asyncio.run(bench.lag.measure([]))
    assert stalled_s() is None


def test_a_task_that_goes_on_waits_or_was_stopped_is_not_stalled() -> None:
    bench = Bench()
    for _ in range(100):
        bench.ends.end += 3
        bench.applied += 1
        assert bench.after(60) == []
    bench.after(5)
    bench.waiting = "the schema registry does not answer"
    assert bench.after(600) == []
    bench.waiting = ""
    bench.after(10)
    assert bench.after(3_600, step=3_600) == [], "the process stood still"


def test_a_look_without_an_answer_begins_no_stall_anew() -> None:
    bench = Bench()
    bench.ends.end = 13
    assert bench.after(REPORTED_AFTER_S) == []
    bench.ends.silent = True
    assert bench.after(5) == []
    assert stalled_s() == REPORTED_AFTER_S - 5, "as it was"
    bench.ends.silent = False
    assert len(bench.after(5)) == 1
    bench.ends.silent = True
    assert len(bench.after(60)) == 1
    bench.applied = 11
    bench.ends.silent = False
    assert bench.after(5) == [], "it applied something meanwhile"


def test_a_task_that_works_off_due_timers_is_not_stalled() -> None:
    """Inputs wait until the timers that are due before them have fired: many, at the end of a month."""
    bench = Bench()
    bench.ends.end = 13
    for _ in range(20):
        bench.fired += 100
        assert bench.after(60) == []
    assert len(bench.after(REPORTED_AFTER_S)) == 1
