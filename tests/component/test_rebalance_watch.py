"""A worker whose rebalance does not end is started again; one that waits because Kafka is away is not."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from aiokafka.structs import TopicPartition

from streams.runtime.agent_spec import AgentSpec
from streams.runtime.errors import GroupStalled
from streams.runtime.rebalance_watch import RebalanceWatch
from streams.runtime.settings import RuntimeSettings
from streams.runtime.task import TaskState
from streams.runtime.task_manager import TaskManager

SETTINGS = RuntimeSettings(app_id="a", brokers=("127.0.0.1:1",), prefix="eu", partitions=1, rebalance_timeout_ms=20)


@pytest.mark.parametrize(
    ("story", "stalled"),
    [
        ("begin 0, answered 90", False),
        ("begin 0, answered 91", True),
        ("begin 0, end 50, answered 200", False),
        ("begin 0, end 50, begin 60, answered 120", False),
        ("begin 0, silent 80, answered 120", False),
        ("begin 0, silent 80, answered 171", True),
        ("answered 200", False),
    ],
)
def test_the_wait_counts_while_kafka_answers(story: str, stalled: bool) -> None:
    now = 0.0
    watch = RebalanceWatch(90.0, lambda: now)
    steps = {
        "begin": watch.begin,
        "end": watch.end,
        "silent": watch.kafka_unavailable,
        "answered": watch.kafka_answered,
    }
    for step in story.split(", "):
        name, at = step.split()
        now = float(at)
        steps[name]()
    assert (watch.stalled is not None) is stalled
    if stalled:
        assert "no partitions were assigned within 91 s" in str(watch.stalled)


class StuckTask:
    """A task that never ends."""

    agent, partition, topics, state, refused = "diary", 0, ("eu.in",), TaskState.RUNNING, None
    ended = None

    async def stop(self) -> None:
        await asyncio.Event().wait()

    def wants(self, topic: str) -> None:
        return None


def test_a_task_that_does_not_stop_ends_the_worker() -> None:
    async def revoke() -> BaseException | None:
        manager = TaskManager(replace(SETTINGS, rebalance_timeout_ms=1), [AgentSpec("diary", ("eu.in",), _never)])
        manager.app = _App()  # type: ignore[assignment]
        manager.tasks[("diary", 0)] = StuckTask()  # type: ignore[assignment]
        await manager._on_revoked(manager.app, {TopicPartition("eu.in", 0)})
        return manager.crash()

    reason = asyncio.run(revoke())
    assert isinstance(reason, GroupStalled)
    assert str(reason) == "tasks do not stop: diary-0 (running)"


def _never(_: int) -> Any:
    raise AssertionError


class _App:
    """The part of a Faust app that is used here."""

    crash_reason = None

    class consumer:  # noqa: N801 -- an attribute of the app
        @staticmethod
        def open_only(partitions: frozenset[TopicPartition]) -> None:
            assert partitions == frozenset()
