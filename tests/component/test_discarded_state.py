"""The state of a task is gone as soon as it is discarded, without the garbage collector: a full collection, which alone
would find it, is made once all tasks run, and a task whose writes Kafka refuses may be tried again for hours."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any
from weakref import ref

import pytest
from agent_harness import AGENTS, Cluster
from story import contract, micros, opened, policies, updated
from task_bench import Bench, Diary, run

from streams.runtime import task_manager
from streams.runtime.errors import TaskFenced, TaskInterrupted, TimestampsRefused, WriteRefused
from streams.runtime.processor import Effects, Record
from streams.runtime.task import TaskState
from streams.runtime.task_manager import TaskManager


@pytest.fixture(autouse=True)
def without_collections() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


class Kept(Diary):
    """Remembers which of its kind there are."""

    alive: list[ref[Diary]] = []

    def __init__(self, partition: int) -> None:
        super().__init__(partition)
        self.alive.append(ref(self))

    @classmethod
    def left(cls) -> int:
        return sum(each() is not None for each in cls.alive)


def refused() -> Exception:
    try:
        raise ExceptionGroup("several partitions", [KeyError("one")])
    except ExceptionGroup as group:
        try:
            raise WriteRefused("not allowed") from group
        except WriteRefused as error:
            return error


@pytest.mark.parametrize(
    "fault",
    [
        refused,
        lambda: TaskInterrupted("a timeout"),
        lambda: TaskFenced("a newer epoch"),
        lambda: TimestampsRefused("an hour ahead"),
        lambda: ValueError("a defect"),
    ],
    ids=["refused", "interrupted", "fenced", "timestamps", "defect"],
)
def test_what_a_failed_commit_leaves_is_gone_before_the_next_attempt(fault: Callable[[], Exception]) -> None:
    Kept.alive.clear()

    async def scenario() -> None:
        bench = Bench(make=Kept)
        bench.log.faults = [("before", fault)] * 6
        task = bench.start()
        await bench.settle()
        await bench.add(1, "a")
        assert task.state is not TaskState.RUNNING
        assert (len(Kept.alive), Kept.left()) == (1, 0)
        for number in range(1, 6):
            await bench.tick(400_000 * number)
            assert Kept.left() <= 1
        assert len(Kept.alive) > 2
        await task.stop()

    run(scenario)
    assert Kept.left() == 0


@pytest.mark.parametrize("value", ["poison", "timer:1"])
def test_what_a_failed_decision_leaves_is_gone_before_the_next_attempt(value: str) -> None:
    Kept.alive.clear()

    class Faulty(Kept):
        faulty_timers = True

    async def scenario() -> None:
        bench = Bench(make=Faulty)
        task = bench.start()
        await bench.settle()
        await bench.add(1, value)
        for number in range(1, 4):
            await bench.tick(10_000 * number)
            assert Kept.left() <= 1
        await task.stop()

    run(scenario)
    assert Kept.left() == 0


@pytest.mark.parametrize("agent", AGENTS)
def test_the_state_of_an_agent_has_no_cycles(agent: str) -> None:
    cluster = Cluster(policies(), partitions=1)
    start = micros("10:00")
    cluster.publish(contract("09:00"), start)
    cluster.publish(opened("10:00", tenants=["acme"]), start + 1)
    cluster.publish(updated("10:01"), start + 2)
    task = cluster.tasks[agent, 0]
    cluster.rebuild(task)
    task.processor.apply(Record("sla.incident-events", 0, 9, start + 3, b"k", b"junk", ()), Effects())
    while (due := task.processor.next_due()) is not None and due < start + 3_600_000_000:
        task.processor.fire(due + 1, 1, Effects())
    left, task.processor = ref(task.processor), None
    assert left() is None


def test_a_worker_collects_what_is_left_also_while_a_task_is_halted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once a minute at most: with much state a collection stops all tasks for a second."""
    collected: list[float] = []
    clock = [0.0]
    collector = SimpleNamespace(unfreeze=lambda: None, freeze=lambda: None, collect=lambda: collected.append(clock[0]))
    monkeypatch.setattr(task_manager, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(task_manager, "gc", collector)
    manager = TaskManager.__new__(TaskManager)
    manager._frozen, manager._frozen_at = {}, 0.0
    for clock[0], state, restarts in (
        (10.0, TaskState.RECOVERING, 0),
        (20.0, TaskState.RUNNING, 1),
        (30.0, TaskState.RUNNING, 1),
        (40.0, TaskState.HALTED, 2),
        (79.0, TaskState.HALTED, 3),
        (81.0, TaskState.HALTED, 3),
        (200.0, TaskState.HALTED, 3),
        (210.0, TaskState.RUNNING, 4),
    ):
        manager.tasks = {("diary", 0): as_task(TaskState.RUNNING, 1), ("diary", 1): as_task(state, restarts)}
        manager._freeze_restored_state()
    assert collected == [20.0, 81.0, 210.0]


def as_task(state: TaskState, restarts: int) -> Any:
    return SimpleNamespace(state=state, restarts=restarts)
