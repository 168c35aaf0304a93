"""What a processor writes once per transaction: after everything else, before the commit, slice by slice."""

from __future__ import annotations

from itertools import count

from memory_log import broker_away
from task_bench import MS, Bench, Diary, run

from streams.runtime.processor import Effects, Record, Send
from streams.runtime.run_loop import CommitInterval
from streams.runtime.transaction_builder import FINISH_STEP


class Summary(Diary):
    """Adds a line for each record at the end of its transaction."""

    def __init__(self, partition: int) -> None:
        super().__init__(partition)
        self.left: list[str] = []
        self.limits: list[int] = []

    def apply(self, record: Record, effects: Effects) -> None:
        super().apply(record, effects)
        if record.value != b"for others":
            self.left.append((record.value or b"").decode())

    def finish(self, effects: Effects, limit: int) -> bool:
        self.limits.append(limit)
        for value in self.left[:limit]:
            effects.send(Send("out", 0, b"k", f"sum {value}".encode(), []))
        del self.left[:limit]
        return not self.left


def test_it_comes_after_all_records_of_a_transaction_and_in_it() -> None:
    async def scenario() -> None:
        bench = Bench(make=Summary, commit_interval=CommitInterval(per_record=10 * MS))
        bench.clock.set(1_000 * MS)
        bench.start()
        await bench.add(1, "a")
        await bench.add(2, "b")
        await bench.add(3, "c")
        bench.clock.set(1_010 * MS)
        await bench.settle()
        assert bench.log.values() == ["1 a @1", "sum a", "2 b @2", "3 c @3", "sum b", "sum c"]
        assert bench.log.sizes == [2, 4]
        await bench.task.stop()

    run(scenario)


def test_it_is_lost_with_its_transaction_and_written_with_the_next_attempt() -> None:
    async def scenario() -> None:
        bench = Bench(make=Summary)
        bench.log.faults.append(("before", broker_away))
        bench.start()
        await bench.add(1, "a")
        assert bench.log.values() == []
        await bench.tick(60_000)
        assert bench.log.values() == ["1 a @1", "sum a"]
        await bench.task.stop()

    run(scenario)


def test_much_of_it_is_written_in_several_slices() -> None:
    made: list[Summary] = []

    def make(partition: int) -> Summary:
        made.append(Summary(partition))
        return made[-1]

    async def scenario() -> None:
        ticks = count()
        bench = Bench(make=make, stopwatch=lambda: next(ticks) * 0.0015)  # a slice is over at its second look
        for number in range(3 * FINISH_STEP):
            bench.log.append("in", 1, str(number))
        bench.start()
        await bench.settle(1_000)
        assert len(made[0].limits) >= 3
        assert set(made[0].limits) == {FINISH_STEP}
        sums = [value for value in bench.log.values() if value.startswith("sum")]
        assert sums == [f"sum {number}" for number in range(3 * FINISH_STEP)]
        await bench.task.stop()

    run(scenario)


def test_a_transaction_of_offsets_alone_has_none() -> None:
    made: list[Summary] = []

    def make(partition: int) -> Summary:
        made.append(Summary(partition))
        return made[-1]

    async def scenario() -> None:
        bench = Bench(make=make)
        bench.start()
        await bench.add(1, "for others")
        assert bench.log.commits == 1
        assert made[0].limits == []
        await bench.task.stop()

    run(scenario)
