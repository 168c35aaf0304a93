"""A task whose next record waits for an answer from outside: what came before is committed, nothing goes past it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from task_bench import MS, Bench, Diary, run

from streams.runtime import metrics
from streams.runtime.processor import Effects, Record, RetryLater
from streams.runtime.task import TaskState

#: Values that can't be decided on yet, with what tells that they can.
AWAITED: dict[str, asyncio.Future[None]] = {}


class Asking(Diary):
    """Waits for what is in AWAITED."""

    def apply(self, record: Record, effects: Effects) -> None:
        answered = AWAITED.get((record.value or b"").decode())
        if answered is not None and not answered.done():
            raise RetryLater("schema id 7 is not known yet", answered)
        super().apply(record, effects)


@dataclass
class WaitingBench(Bench):
    make: type[Diary] = field(default=Asking)

    def __post_init__(self) -> None:
        AWAITED.clear()
        AWAITED["asked"] = asyncio.get_running_loop().create_future()

    @property
    def gauge(self) -> float:
        return metrics.WAITING.labels("diary", "0")._value.get()


def test_what_came_before_is_committed_and_nothing_goes_past_it() -> None:
    async def scenario() -> None:
        bench = WaitingBench()
        for value in ("a", "b", "asked", "c"):
            bench.log.append("in", 1, value)
        task = bench.start()
        await bench.settle()
        assert bench.log.values() == ["1 a @1", "2 b @1"]
        assert bench.log.group == {"in": 2}
        assert task.state is TaskState.RUNNING
        assert "schema id 7" in task.waiting
        assert bench.gauge == 1
        commits = bench.log.commits
        await bench.add(2, "d")
        await bench.tick(600_000)
        assert bench.log.commits == commits
        assert bench.log.epoch == 1  # it is no failure: nothing is thrown away
        AWAITED["asked"].set_result(None)
        await bench.settle()
        assert bench.log.values()[2:] == ["3 asked @1", "4 c @1", "5 d @2"]
        assert task.waiting == ""
        assert bench.gauge == 0
        await task.stop()

    run(scenario)


def test_r11_timers_due_before_it_act_and_later_ones_wait_with_it() -> None:
    async def scenario() -> None:
        bench = WaitingBench()
        for at, value in ((1, "timer:5"), (2, "timer:50"), (10, "asked")):
            bench.log.append("in", at, value)
        task = bench.start()
        await bench.settle()
        await bench.tick(100)
        assert bench.log.values()[2:] == ["due 5"]
        AWAITED["asked"].set_result(None)
        await bench.settle()
        assert bench.log.values()[3:] == ["3 asked @10", "due 50"]
        await task.stop()

    run(scenario)


def test_a_shard_that_waits_stops_at_once_and_begins_where_it_waited() -> None:
    async def scenario() -> None:
        bench = WaitingBench()
        bench.log.append("in", 1, "a")
        bench.log.append("in", 2, "asked")
        await bench.settle()
        task = bench.start()
        await bench.settle()
        await task.stop()
        assert bench.gauge == 0
        assert bench.log.group == {"in": 1}
        AWAITED["asked"].set_result(None)
        again = bench.start()
        await bench.settle()
        assert bench.log.values() == ["1 a @1", "2 asked @2"]
        await again.stop()

    run(scenario)


def test_a_full_queue_behind_a_record_that_waits_is_bounded() -> None:
    async def scenario() -> None:
        bench = WaitingBench(bound=5)
        bench.log.append("in", 1, "asked")
        for number in range(40):
            bench.log.append("in", 2, f"{number}")
        task = bench.start()
        bench.feed.size = 3
        await bench.settle()
        assert task._input.queue.size <= 5 + 3 or not task.accepts("in")
        AWAITED["asked"].set_result(None)
        await bench.settle(2_000)
        assert [value.split()[1] for value in bench.log.values()] == ["asked", *map(str, range(40))]
        await task.stop()

    run(scenario)


def test_a_record_that_crashes_after_its_wait_is_retried_and_rejected_as_any() -> None:
    async def scenario() -> None:
        bench = WaitingBench()
        AWAITED["poison"] = AWAITED["asked"]
        bench.log.append("in", 1, "poison")
        bench.log.append("in", 1, "a")
        task = bench.start()
        await bench.settle()
        assert bench.log.values() == []
        AWAITED["asked"].set_result(None)
        await bench.settle()
        await bench.tick(60_000 * MS)
        assert [value.partition(" ")[2] for value in bench.log.values()][-1] == "a @1"
        assert any(value.startswith("rejected internal in@0 after 3") for value in bench.log.values())
        await task.stop()

    run(scenario)
