"""One changelog partition decides who owns a prefix: of two deployments that start together, one gets all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from itertools import permutations

import pytest
from memory_log import MemoryLog
from task_bench import Bench, run

from streams.runtime import ownership
from streams.runtime.ownership import OWNER_KEY, PrefixOwner, decode_owner, encode_owner
from streams.runtime.task import StreamTask, TaskState

PARTITIONS = 3
SLA, SECOND = encode_owner("sla"), encode_owner("second")


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ownership, "_LOOK_EVERY_S", 0)


class SharedLog(MemoryLog):
    """A changelog partition for two deployments: their transactional ids differ, so neither fences the other."""

    def __init__(self, changelog: list[tuple[bytes, bytes | None]]) -> None:
        super().__init__()
        self.changelog = changelog


def changelogs() -> list[list[tuple[bytes, bytes | None]]]:
    return [[] for _ in range(PARTITIONS)]


def deployment(app_id: str, logs: list[list[tuple[bytes, bytes | None]]]) -> list[Bench]:
    """Its tasks, one for each changelog; the first decides."""
    mine = [SharedLog(rows) for rows in logs]
    owner = PrefixOwner("diary-changelog-0", mine[0].replay)
    return [Bench(log=log, app_id=app_id, prefix_owner=owner if number else None) for number, log in enumerate(mine)]


def owners_of(logs: list[list[tuple[bytes, bytes | None]]]) -> list[set[str]]:
    """Per partition: who its first and its last owner row name."""
    found = []
    for rows in logs:
        owners = [decode_owner(value) for key, value in rows if key == OWNER_KEY and value is not None]
        found.append({owners[0], owners[-1]})
    return found


async def stop(tasks: list[StreamTask]) -> None:
    for task in tasks:
        await task.stop()


@pytest.mark.parametrize("order", list(permutations(range(PARTITIONS))))
@pytest.mark.parametrize("turns", range(0, 12, 3))
@pytest.mark.parametrize("names", [("sla", "second"), ("second", "sla")], ids="-".join)
def test_of_two_deployments_that_start_together_one_wins_all_partitions(
    names: tuple[str, str], turns: int, order: tuple[int, ...]
) -> None:
    """The one starts its tasks in any order, the other in the opposite one, a few turns apart."""

    async def scenario() -> None:
        logs = changelogs()
        first, second = deployment(names[0], logs), deployment(names[1], logs)
        tasks: dict[str, list[StreamTask]] = {name: [] for name in names}
        for one, other in zip(order, reversed(order), strict=True):
            tasks[names[0]].append(first[one].start())
            for _ in range(turns):
                await asyncio.sleep(0)
            tasks[names[1]].append(second[other].start())
        await first[0].settle(1_000)
        states = {name: {task.state for task in mine} for name, mine in tasks.items()}
        winner = decode_owner(logs[0][0][1] or b"")
        loser = next(name for name in names if name != winner)
        assert states == {winner: {TaskState.RUNNING}, loser: {TaskState.HALTED}}
        assert all(task.refused is not None and f"SLA_APP_ID={winner}" in task.reason for task in tasks[loser])
        assert all(task.restarts == 1 for task in tasks[winner]), "none was interrupted"
        assert owners_of(logs) == [{winner}] * PARTITIONS
        await stop(tasks[winner] + tasks[loser])
        again = [bench.start() for bench in deployment(winner, logs)]
        await first[0].settle(1_000)
        assert [task.state for task in again] == [TaskState.RUNNING] * PARTITIONS
        await stop(again)

    run(scenario)


def test_a_partition_waits_for_the_one_that_decides_and_says_so() -> None:
    async def scenario() -> None:
        logs = changelogs()
        benches = deployment("sla", logs)
        waiting = benches[2].start()
        await benches[2].settle(1_000)
        assert waiting.state is TaskState.RECOVERING
        assert "waiting until a worker has claimed the prefix in diary-changelog-0" in waiting.reason
        assert logs == changelogs(), "nothing is written meanwhile"
        deciding = benches[0].start()
        await benches[0].settle()
        await benches[2].tick(60_000)
        await benches[2].settle()
        assert waiting.state is TaskState.RUNNING
        assert owners_of([logs[0], logs[2]]) == [{"sla"}, {"sla"}]
        await stop([deciding, waiting])

    run(scenario)


def test_the_tasks_of_a_worker_look_together_and_one_that_stops_ends_no_look() -> None:
    async def scenario() -> None:
        logs = changelogs()
        benches = deployment("sla", logs)
        looks = 0
        gate = asyncio.Event()

        async def replay() -> AsyncIterator[Sequence[tuple[bytes, bytes | None]]]:
            nonlocal looks
            looks += 1
            await gate.wait()
            yield [(OWNER_KEY, SLA)]

        owner = PrefixOwner("diary-changelog-0", replay)
        benches[1].prefix_owner = benches[2].prefix_owner = owner
        tasks = [benches[1].start(), benches[2].start()]
        await benches[1].settle()
        await tasks[0].stop()
        gate.set()
        await benches[2].settle()
        assert (tasks[1].state, looks) == (TaskState.RUNNING, 1)
        await stop(tasks)

    run(scenario)


def test_a_partition_with_an_owner_does_not_ask() -> None:
    async def scenario() -> None:
        logs = changelogs()
        logs[1] = [(OWNER_KEY, SLA)]
        benches = deployment("sla", logs)
        task = benches[1].start()
        await benches[1].settle()
        assert task.state is TaskState.RUNNING
        assert benches[0].log.calls == []
        await task.stop()

    run(scenario)


def test_a_prefix_that_an_earlier_release_has_split_is_refused_with_what_to_do() -> None:
    async def scenario() -> None:
        logs: list[list[tuple[bytes, bytes | None]]] = [[(OWNER_KEY, SLA)], [(OWNER_KEY, SECOND)], []]
        before = [list(rows) for rows in logs]
        owner, other = deployment("sla", logs), deployment("second", logs)
        split, refused = owner[1].start(), other[0].start()
        await owner[1].settle()
        assert (split.state, refused.state) == (TaskState.HALTED, TaskState.HALTED)
        assert "belong to SLA_APP_ID=sla, but this partition was claimed by SLA_APP_ID=second" in split.reason
        assert "start SLA_APP_ID=sla alone" in split.reason
        assert "SLA_TOPIC_PREFIX of its own" in refused.reason
        assert logs == before
        await stop([split, refused])

    run(scenario)


def test_a_later_claim_that_was_never_taken_back_counts_for_nothing() -> None:
    """Its writer ended between its claim and the look at whose came first."""

    async def scenario() -> None:
        logs: list[list[tuple[bytes, bytes | None]]] = [[(OWNER_KEY, SLA), (OWNER_KEY, SECOND)]]
        later = deployment("second", logs)[0].start()
        await asyncio.sleep(0)
        owner = deployment("sla", logs)[0]
        task = owner.start()
        await owner.settle()
        assert (task.state, later.state) == (TaskState.RUNNING, TaskState.HALTED)
        assert owners_of(logs) == [{"sla"}], "compaction keeps the last row"
        await stop([task, later])

    run(scenario)
