"""Timers of a task act in the order of arrival (R11); work per transaction is bounded."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from memory_log import ManualClock, MemoryLog
from task_bench import MS, Bench, Diary, last_applied, run

from streams.runtime.checkpoint import CHECKPOINT_KEY, Checkpoint, decode_checkpoint
from streams.runtime.interfaces import Batch
from streams.runtime.processor import Effects, Record


def test_timers_act_strictly_before_an_arrival_and_never_between_equal_ones() -> None:
    async def scenario() -> None:
        bench = Bench()
        bench.log.append("in", 10, "timer:20")
        bench.log.append("in", 20, "at its due instant")
        bench.log.append("in", 21, "timer:5")  # due in the past already
        bench.log.append("in", 21, "same arrival")
        bench.log.append("in", 22, "later")
        task = bench.start()
        await bench.settle()
        assert bench.log.values() == [
            "1 timer:20 @10",
            "2 at its due instant @20",
            "due 20",
            "3 timer:5 @21",
            "4 same arrival @21",
            "due 5",
            "5 later @22",
        ]
        await task.stop()

    run(scenario)


def test_time_never_goes_back() -> None:
    async def scenario() -> None:
        bench = Bench()
        bench.log.append("in", 10, "a")
        bench.log.append("in", 7, "b")
        task = bench.start()
        await bench.settle()
        assert bench.log.values() == ["1 a @10", "2 b @10"]
        assert last_applied(bench.log) == Checkpoint({"in": 2}, 10 * MS)
        await task.stop()

    run(scenario)


@pytest.mark.parametrize("live", [False, True])
def test_a_transaction_that_ends_between_timers_carries_no_time_before_those_that_acted(live: bool) -> None:
    async def scenario() -> None:
        bench = Bench(timers=1)
        for due in (20, 30, 30):
            bench.log.append("in", 10, f"timer:{due}")
        if not live:
            bench.log.append("in", 40, "later")
        task = bench.start()
        await bench.settle()
        await bench.tick(50)
        assert [value for value in bench.log.values() if value.startswith("due")] == ["due 20", "due 30", "due 30"]
        written = iter(bench.log.values())
        times = [decode_checkpoint(value).time for key, value in bench.log.changelog if key == CHECKPOINT_KEY and value]
        assert times == sorted(times)
        for size, time in zip(bench.log.sizes, times, strict=True):
            for value in itertools.islice(written, size):
                what, instant = value.split()[:2]
                assert what != "due" or int(instant) * MS <= time <= 50 * MS, (value, time)
        await task.stop()

    run(scenario)


def test_a_live_timer_waits_for_the_clock_and_the_skew() -> None:
    async def scenario() -> None:
        bench = Bench(skew_us=5 * MS)
        task = bench.start()
        await bench.settle()
        await bench.add(10, "timer:30")
        for ms in (29, 30, 34, 35):
            await bench.tick(ms)
            assert bench.log.values() == ["1 timer:30 @10"], ms
        await bench.tick(36)
        assert bench.log.values() == ["1 timer:30 @10", "due 30"]
        assert last_applied(bench.log).time == 31 * MS
        await task.stop()

    run(scenario)


def test_a_live_timer_waits_for_input_that_was_there_before_it() -> None:
    async def scenario() -> None:
        bench = Bench(live=False)
        bench.log.append("in", 10, "timer:30")
        bench.log.append("in", 25, "not yet delivered")
        task = bench.start()
        await bench.settle()
        task.offer(Batch("in", 0, 0, 1, bench.log.inputs["in"][:1]))
        await bench.settle()
        await bench.tick(1_000)
        assert "ends" in bench.log.calls
        assert bench.log.values() == ["1 timer:30 @10"]
        task.offer(Batch("in", 0, 1, 2, bench.log.inputs["in"][1:]))
        await bench.settle()
        assert bench.log.values() == ["1 timer:30 @10", "2 not yet delivered @25", "due 30"]
        await task.stop()

    run(scenario)


def test_the_end_is_asked_for_after_the_instant_not_before() -> None:
    async def scenario() -> None:
        bench = Bench(live=False)
        task = bench.start()
        await bench.settle()
        bench.log.append("in", 10, "timer:30")
        task.offer(Batch("in", 0, 0, 1, bench.log.inputs["in"]))
        await bench.settle()
        bench.log.ends_gate = asyncio.Event()
        await bench.tick(31)  # asks, and is not answered yet
        bench.log.append("in", 40, "arrives while the answer is under way")
        await bench.tick(50)
        bench.log.ends_gate.set()
        await bench.settle()
        assert bench.log.values() == ["1 timer:30 @10", "due 30"]
        assert last_applied(bench.log).time == 31 * MS, "time moved only to the instant at which it asked"
        task.offer(Batch("in", 0, 1, 2, bench.log.inputs["in"][1:]))
        await bench.settle()
        assert bench.log.values()[-1] == "2 arrives while the answer is under way @40"
        await task.stop()

    run(scenario)


def test_topics_are_merged_by_arrival_and_timers_wait_for_all_of_them() -> None:
    async def scenario() -> None:
        bench = Bench(MemoryLog(topics=("a", "b")), live=False)
        bench.log.append("a", 10, "a10")
        bench.log.append("a", 30, "a30")
        bench.log.append("b", 20, "b20")
        task = bench.start()
        await bench.settle()
        task.offer(Batch("a", 0, 0, 2, bench.log.inputs["a"]))
        await bench.settle()
        assert not bench.log.values(), "b has a backlog: what arrived first is not known yet"
        task.offer(Batch("b", 0, 0, 1, bench.log.inputs["b"]))
        await bench.settle()
        assert [value.split()[1] for value in bench.log.values()] == ["a10", "b20", "a30"]
        bench.log.append("a", 40, "timer:50")
        bench.log.append("b", 45, "b45")
        bench.log.append("a", 60, "a60")
        task.offer(Batch("a", 0, 2, 4, bench.log.inputs["a"][2:]))
        await bench.settle()
        assert bench.log.values()[-1].split()[1] == "timer:50", "b may hold something that arrived before 50"
        task.offer(Batch("b", 0, 1, 2, bench.log.inputs["b"][1:]))
        await bench.settle()
        assert [value.split(" ", 1)[1] for value in bench.log.values()[-3:]] == ["b45 @45", "50", "a60 @60"]
        await task.stop()

    run(scenario)


def test_work_per_transaction_is_bounded() -> None:
    async def scenario() -> None:
        bench = Bench(records=4, timers=3)
        for number in range(10):
            bench.log.append("in", 1, f"timer:{10 + number}")
        bench.log.append("in", 100, "last")
        task = bench.start()
        await bench.settle(600)
        assert bench.log.values()[10:] == [*(f"due {10 + number}" for number in range(10)), "11 last @100"]
        assert bench.log.sizes == [4, 4, 2 + 3, 3, 3, 1 + 1]
        await task.stop()

    run(scenario)


class Slow(Diary):
    """A record `heavy` takes ten seconds of the stopwatch, any other, and a timer, one."""

    elapsed = 0.0

    def apply(self, record: Record, effects: Effects) -> None:
        Slow.elapsed += 10 if record.value == b"heavy" else 1
        super().apply(record, effects)

    def fire(self, before: int, limit: int, effects: Effects) -> int:
        fired = super().fire(before, limit, effects)
        Slow.elapsed += fired
        return fired


@pytest.mark.parametrize(
    ("seconds", "sizes"),
    [
        (4.0, [4, 3 + 1, 1, 1, 1 + 3, 4, 1]),
        (3.5, [4, 3 + 1, 1, 1, 1 + 3, 4, 1]),
        (12.0, [7 + 2, 2 + 1, 6 + 1]),
        (0.5, [1] * 19),
        (1000.0, [19]),
    ],
)
def test_time_per_transaction_is_bounded_but_for_one_record(seconds: float, sizes: list[int]) -> None:
    """Heavy records commit in pieces, in order; one that takes longer than the limit by itself goes through too."""

    async def scenario() -> None:
        bench = Bench(seconds=seconds, make=Slow, stopwatch=lambda: Slow.elapsed)
        values = [*(f"timer:{10 + number}" for number in range(7)), "light", "heavy", "heavy", "light"]
        for value in values:
            bench.log.append("in", 1, value)
        bench.log.append("in", 100, "last")
        task = bench.start()
        await bench.settle(600)
        assert [value.split()[1] for value in bench.log.values()] == [
            *values,
            *(str(10 + number) for number in range(7)),
            "last",
        ]
        assert bench.log.sizes == sizes
        await task.stop()

    run(scenario)


def test_what_a_transaction_writes_is_bounded_but_for_one_record() -> None:
    async def scenario() -> None:
        bench = Bench(bytes=20)
        values = ["a", "b", "x" * 50, "y" * 50, "c", "d"]
        for value in values:
            bench.log.append("in", 1, value)
        task = bench.start()
        await bench.settle(600)
        assert [value.split()[1] for value in bench.log.values()] == values
        assert bench.log.sizes == [3, 1, 2]
        await task.stop()

    run(scenario)


def test_neighbours_get_the_loop_between_slow_records() -> None:
    """However many records one transaction takes, other tasks and the heartbeat need not wait for all of them."""

    async def scenario() -> None:
        turns: list[int] = []

        async def neighbour() -> None:
            while True:
                turns.append(len(decided))
                await asyncio.sleep(0)

        decided: list[int] = []

        class Watched(Slow):
            def apply(self, record: Record, effects: Effects) -> None:
                decided.append(record.offset)
                super().apply(record, effects)

        bench = Bench(make=Watched, stopwatch=lambda: Slow.elapsed)
        for number in range(20):
            bench.log.append("in", 1, f"timer:{10 + number}")
        bench.log.append("in", 100, "last")
        task = bench.start()
        other = asyncio.create_task(neighbour())
        await bench.settle()
        assert set(turns) >= set(range(1, 22)), "a turn after each record"
        assert bench.log.sizes == [20 + 20 + 1], "of one transaction"
        assert turns.count(20) >= 20, "and after each timer"
        other.cancel()
        await task.stop()

    run(scenario)


def test_a_full_queue_does_not_keep_a_timer_waiting_for_what_cannot_come() -> None:
    """The queue of `a` is over its bound and its next record waits for a timer: nothing more of `a` is read, so its
    end is not reached; that nothing earlier is missing follows from what is queued of `a` and the end of `b`."""

    async def scenario() -> None:
        bench = Bench(MemoryLog(topics=("a", "b")), ManualClock(100 * MS), bound=2, live=False)
        bench.log.append("a", 1, "timer:5")
        for number in range(8):
            bench.log.append("a", 10 + number, f"{number}")
        task = bench.start()
        await bench.settle()
        task.offer(Batch("a", 0, 0, 4, bench.log.inputs["a"][:4]))
        await bench.settle()
        assert bench.log.values() == ["1 timer:5 @1", "due 5", "2 0 @10", "3 1 @11", "4 2 @12"]
        assert task.accepts("a")
        await task.stop()

    run(scenario)
