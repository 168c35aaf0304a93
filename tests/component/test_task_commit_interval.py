"""How often a task commits: at once when idle, with a rest under load, seldom when only offsets moved."""

from __future__ import annotations

import asyncio

import pytest
from task_bench import MS, Bench, Diary, run

from streams.runtime.processor import Effects, Record
from streams.runtime.run_loop import CommitInterval
from streams.runtime.scheduler import Scheduler

INTERVAL = CommitInterval(per_record=10 * MS, offsets_only=500 * MS)


def test_what_comes_during_the_rest_is_one_transaction_with_what_comes_after() -> None:
    async def scenario() -> None:
        bench = Bench(commit_interval=INTERVAL)
        bench.clock.set(1_000 * MS)
        bench.start()
        await bench.add(1, "a")
        assert bench.log.commits == 1  # idle until then: at once
        await bench.add(2, "b")
        bench.clock.set(1_009 * MS)
        await bench.add(3, "c")
        assert bench.log.commits == 1
        bench.clock.set(1_010 * MS)
        await bench.settle()
        assert bench.log.commits == 2
        assert bench.log.values() == ["1 a @1", "2 b @2", "3 c @3"]
        await bench.task.stop()

    run(scenario)


def test_the_rest_grows_with_what_was_in_the_transaction_before() -> None:
    async def scenario() -> None:
        bench = Bench(commit_interval=CommitInterval(per_record=10 * MS, maximum=25 * MS))

        async def commits_at(ms: int) -> int:
            bench.clock.set(ms * MS)
            await bench.settle()
            return bench.log.commits

        bench.clock.set(1_000 * MS)
        bench.start()
        await bench.add(1, "a")
        await bench.add(2, "b")
        await bench.add(3, "c")
        assert await commits_at(1_010) == 2
        await bench.add(4, "d")
        assert await commits_at(1_029) == 2  # two were in it
        await bench.add(5, "e")
        await bench.add(6, "f")
        assert await commits_at(1_030) == 3
        await bench.add(7, "g")
        assert await commits_at(1_054) == 3  # three were, and 25 ms are the most
        assert await commits_at(1_055) == 4
        await bench.task.stop()

    run(scenario)


def test_offsets_alone_wait_longer_and_go_along_with_whatever_comes() -> None:
    async def scenario() -> None:
        bench = Bench(commit_interval=INTERVAL)
        bench.clock.set(1_000 * MS)
        bench.start()
        await bench.add(1, "a")
        bench.clock.set(1_100 * MS)
        await bench.add(2, "for others")
        assert (bench.log.commits, bench.log.group) == (1, {"in": 1})
        await bench.add(3, "b")
        assert (bench.log.commits, bench.log.group) == (2, {"in": 3})
        await bench.add(4, "for others")
        bench.clock.set(1_599 * MS)
        await bench.settle()
        assert bench.log.commits == 2
        bench.clock.set(1_600 * MS)
        await bench.settle()
        assert (bench.log.commits, bench.log.group) == (3, {"in": 4})
        await bench.task.stop()

    run(scenario)


def test_a_transaction_that_is_full_does_not_rest() -> None:
    async def scenario() -> None:
        bench = Bench(commit_interval=INTERVAL, records=2)
        bench.clock.set(1_000 * MS)
        bench.start()
        await bench.add(1, "a")
        await bench.add(2, "b")
        await bench.add(3, "c")
        assert bench.log.values() == ["1 a @1", "2 b @2", "3 c @3"]
        await bench.task.stop()

    run(scenario)


def test_a_clock_set_back_does_not_hold_commits_up() -> None:
    async def scenario() -> None:
        bench = Bench(commit_interval=INTERVAL)
        bench.clock.set(9_000 * MS)
        bench.start()
        await bench.add(1, "a")
        bench.clock.set(1_000 * MS)
        await bench.add(2, "b")
        bench.clock.set(1_010 * MS)
        await bench.settle()
        assert bench.log.commits == 2
        await bench.task.stop()

    run(scenario)


@pytest.mark.parametrize(("arrived_ms", "sizes"), [(3_000, [256, 344]), (500, [600])])
def test_what_gathers_is_committed_though_more_is_at_hand_unless_that_is_old(arrived_ms: int, sizes: list[int]) -> None:
    async def scenario() -> None:
        bench = Bench(records=10_000)

        class Slow(Diary):
            def apply(self, record: Record, effects: Effects) -> None:
                super().apply(record, effects)
                bench.clock.set(bench.clock.now() + MS)

        bench.make = Slow
        for number in range(600):
            bench.log.append("in", arrived_ms, f"{number}")
        bench.clock.set(3_000 * MS)
        bench.start()
        await bench.settle()
        assert bench.log.sizes == sizes
        await bench.task.stop()

    run(scenario)


def test_an_agent_that_can_wait_gets_one_turn_for_all_its_shards() -> None:
    async def scenario() -> None:
        scheduler, taken = Scheduler(), ""
        background = scheduler.group()

        async def decide(who: str, mine: Scheduler) -> None:
            nonlocal taken
            for _ in range(4):
                async with mine.slice():
                    taken += who
                await asyncio.sleep(0)

        tasks = [decide("L", background) for _ in range(4)] + [decide("a", scheduler), decide("b", scheduler)]
        await asyncio.gather(*tasks)
        while_alerts_wait = taken[: taken.rindex("b")]
        assert while_alerts_wait.count("L") <= 5, taken
        assert taken.count("L") == 16

    run(scenario)
