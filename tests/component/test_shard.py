"""The shard's promises over a log in memory: order of recovery, exactly once, timers, isolation of what crashes."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from memory_log import ManualClock, MemoryFeed, MemoryLog, broker_away

from streams.errors import PolicyChanged
from streams.runtime.applied import APPLIED_KEY, Applied, decode_applied, encode_applied
from streams.runtime.errors import InputLost, WriteRefused
from streams.runtime.fold import Limits
from streams.runtime.log import Batch
from streams.runtime.processor import Effects, Record, Send, SubjectFailed
from streams.runtime.shard import Shard, ShardState

MS = 1_000


class Diary:
    """Writes down what happens to it. A value `timer:<ms>` sets a timer; `poison` raises."""

    faulty_timers = False

    def __init__(self, partition: int) -> None:
        self.seen = 0
        self.due: list[int] = []

    def restore(self, key: bytes, value: bytes) -> None:
        if key == b"seen":
            self.seen = int(value)
        else:
            self.due.append(int(key))

    def restored(self) -> None:
        self.due.sort()

    def apply(self, record: Record, effects: Effects) -> None:
        value = (record.value or b"").decode()
        self.seen += 1
        if value == "poison":
            raise ValueError("poisoned")
        if value.startswith("timer:"):
            due = int(value.removeprefix("timer:")) * MS
            self.due.append(due)
            self.due.sort()
            effects.put(b"%d" % due, b"due")
        self._write(f"{self.seen} {value} @{record.arrival // MS}", effects)

    def reject(self, record: Record, code: str, message: str, effects: Effects, attempts: int = 1) -> None:
        self._write(f"rejected {code} {record.topic}@{record.offset} after {attempts}: {message}", effects)

    def quarantine(self, subject: str, message: str, effects: Effects, attempts: int) -> None:
        self.due.remove(int(subject))
        effects.put(subject.encode(), None)
        self._write(f"quarantined {subject} after {attempts}: {message}", effects)

    def next_due(self) -> int | None:
        return self.due[0] if self.due else None

    def act(self, before: int, limit: int, effects: Effects) -> int:
        if self.faulty_timers:
            raise ValueError("faulty")
        acted = 0
        while self.due and self.due[0] < before and acted < limit:
            due = self.due.pop(0)
            effects.put(b"%d" % due, None)
            self._write(f"due {due // MS}", effects)
            acted += 1
        return acted

    def _write(self, text: str, effects: Effects) -> None:
        effects.put(b"seen", b"%d" % self.seen)
        effects.send(Send("out", 0, b"k", text.encode(), []))


@dataclass
class Bench:
    """A shard with everything around it."""

    log: MemoryLog = field(default_factory=MemoryLog)
    clock: ManualClock = field(default_factory=ManualClock)
    records: int = 1_000
    acts: int = 1_000
    seconds: float = 1_000.0
    bytes: int = 1_000_000
    bound: int = 1_000
    skew_us: int = 0
    live: bool = True
    make: Callable[[int], Diary] = Diary
    stopwatch: Callable[[], float] = field(default=lambda: 0.0)
    feed: MemoryFeed = field(init=False)
    shard: Shard = field(init=False)

    def start(self) -> Shard:
        self.feed = MemoryFeed(self.log, live=self.live)
        self.shard = self.feed.shard = Shard(
            "diary",
            0,
            self.log.topics,
            self.make,
            log=self.log,
            feed=self.feed,
            clock=self.clock,
            limits=Limits(records=self.records, acts=self.acts, seconds=self.seconds, bytes=self.bytes),
            max_clock_skew_us=self.skew_us,
            queue_records=self.bound,
            stopwatch=self.stopwatch,
        )
        self.shard.start()
        return self.shard

    async def settle(self, turns: int = 200) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)

    async def add(self, timestamp_ms: int, value: str, topic: str = "in") -> None:
        self.log.append(topic, timestamp_ms, value)
        self.feed.deliver()
        await self.settle()

    async def tick(self, ms: int) -> None:
        self.clock.set(ms * MS)
        await self.settle()


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def within_time() -> None:
        async with asyncio.timeout(10):
            await scenario()

    asyncio.run(within_time())


def last_applied(log: MemoryLog) -> Applied:
    return decode_applied([value for key, value in log.changelog if key == APPLIED_KEY and value is not None][-1])


def test_fences_then_replays_then_reads_offsets_then_seeks() -> None:
    async def scenario() -> None:
        bench = Bench()
        bench.log.append("in", 1, "a")
        bench.start()
        await bench.settle()
        assert bench.log.calls[:4] == ["fence", "replay", "committed", "bounds"]
        assert bench.feed.rewinds == [{"in": 0}]
        assert bench.log.values() == ["1 a @1"]
        await bench.shard.stop()
        assert bench.shard.state is ShardState.STOPPED

    run(scenario)


def test_holds_batches_until_ready() -> None:
    async def scenario() -> None:
        bench = Bench(live=False)
        for number in range(3):
            bench.log.append("in", 1, f"{number}")
        bench.log.replay_gate = asyncio.Event()
        shard = bench.start()
        await bench.settle()
        shard.offer(Batch("in", 0, 0, 3, bench.log.inputs["in"]))
        await bench.settle()
        assert not bench.log.commits
        bench.log.replay_gate.set()
        await bench.settle()
        assert bench.log.values() == ["1 0 @1", "2 1 @1", "3 2 @1"]
        await shard.stop()

    run(scenario)


def test_what_is_more_than_can_be_held_is_read_again() -> None:
    async def scenario() -> None:
        bench = Bench(bound=2)
        for number in range(5):
            bench.log.append("in", 1, f"{number}")
        bench.log.replay_gate = asyncio.Event()
        shard = bench.start()
        await bench.settle()
        shard.offer(Batch("in", 0, 0, 5, bench.log.inputs["in"]))
        bench.log.replay_gate.set()
        await bench.settle()
        assert bench.feed.rewinds == [{"in": 0}]
        assert [value.split()[1] for value in bench.log.values()] == ["0", "1", "2", "3", "4"]
        await shard.stop()

    run(scenario)


def test_drops_what_is_below_its_own_applied_offset() -> None:
    async def scenario() -> None:
        bench = Bench(live=False)
        for number in range(4):
            bench.log.append("in", 1, f"{number}")
        bench.log.changelog = [(APPLIED_KEY, encode_applied(Applied({"in": 2}, 1 * MS)))]
        bench.log.group = {"in": 2}
        shard = bench.start()
        await bench.settle()
        shard.offer(Batch("in", 0, 0, 4, bench.log.inputs["in"]))
        await bench.settle()
        assert bench.log.values() == ["1 2 @1", "2 3 @1"]
        await shard.stop()

    run(scenario)


def test_a_missing_stretch_is_asked_for_again_and_markers_are_none() -> None:
    async def scenario() -> None:
        bench = Bench(live=False)
        bench.log.append("in", 1, "a")
        bench.log.append("in", 1, "b", skip=3)
        bench.log.append("in", 1, "c")
        shard = bench.start()
        await bench.settle()
        records = bench.log.inputs["in"]
        shard.offer(Batch("in", 0, 5, 6, records[2:]))
        await bench.settle()
        assert bench.feed.rewinds == [{"in": 0}, {"in": 0}]
        assert not bench.log.values()
        shard.offer(Batch("in", 0, 0, 6, records))
        await bench.settle()
        assert len(bench.log.values()) == 3
        shard.offer(Batch("in", 0, 6, 9, ()))  # markers only
        await bench.settle()
        assert shard.wants("in") == 9
        await shard.stop()

    run(scenario)


@pytest.mark.parametrize(
    ("applied", "group", "start", "reason"),
    [
        (2, 1, 0, "the next offset is 2 by the changelog, 1 by the consumer group"),
        (None, 1, 0, "the next offset is None by the changelog, 1 by the consumer group"),
        (2, 2, 3, "the next offset is 2, the log reaches from 3 to 4"),
        (9, 9, 0, "the next offset is 9, the log reaches from 0 to 4"),
    ],
    ids=["group moved", "changelog lost", "retention took input", "input truncated"],
)
def test_offsets_that_do_not_fit_halt_the_shard(applied: int | None, group: int, start: int, reason: str) -> None:
    async def scenario() -> None:
        bench = Bench()
        for number in range(4):
            bench.log.append("in", 1, f"{number}")
        bench.log.starts_at["in"] = start
        bench.log.group = {"in": group}
        if applied is not None:
            bench.log.changelog = [(APPLIED_KEY, encode_applied(Applied({"in": applied}, 0)))]
        shard = bench.start()
        await bench.tick(0)
        assert shard.state in (ShardState.HALTED, ShardState.FENCED), "offsets that differ are looked at once more"
        await bench.tick(11_000)
        assert shard.state is ShardState.HALTED
        assert reason in shard.reason
        shard.offer(Batch("in", 0, 0, 4, bench.log.inputs["in"]))
        await bench.settle()
        assert not bench.log.commits
        await shard.stop()

    run(scenario)


def test_a_missing_group_offset_is_restored_from_the_changelog() -> None:
    async def scenario() -> None:
        bench = Bench()
        bench.log.append("in", 1, "a")
        bench.log.changelog = [(APPLIED_KEY, encode_applied(Applied({"in": 1}, 5)))]
        shard = bench.start()
        await bench.settle()
        assert bench.log.group == {"in": 1}
        assert last_applied(bench.log) == Applied({"in": 1}, 5)
        await shard.stop()

    run(scenario)


def test_input_lost_while_running_halts() -> None:
    async def scenario() -> None:
        bench = Bench()
        shard = bench.start()
        await bench.settle()
        shard.interrupt(InputLost(agent="diary", partition=0, topic="in", applied=0, log_start=None, log_end=None))
        await bench.settle()
        assert shard.state is ShardState.HALTED
        await shard.stop()

    run(scenario)


def test_state_is_restored_from_the_last_row_of_each_key() -> None:
    async def scenario() -> None:
        bench = Bench()
        bench.log.changelog = [
            (b"seen", b"3"),
            (b"7000", b"due"),
            (b"9000", b"due"),
            (b"seen", b"5"),
            (b"7000", None),
            (APPLIED_KEY, encode_applied(Applied({"in": 0}, 1 * MS))),
        ]
        shard = bench.start()
        await bench.settle()
        await bench.add(10, "x")
        assert bench.log.values() == ["due 9", "6 x @10"]
        await shard.stop()

    run(scenario)


def test_an_unreadable_row_halts() -> None:
    async def scenario() -> None:
        bench = Bench()
        bench.log.changelog = [(APPLIED_KEY, b"\xc3\x01 not ours")]
        shard = bench.start()
        await bench.settle()
        assert shard.state is ShardState.HALTED
        assert "applied row" in shard.reason
        await shard.stop()

    run(scenario)


def test_timers_act_strictly_before_an_arrival_and_never_between_equal_ones() -> None:
    async def scenario() -> None:
        bench = Bench()
        bench.log.append("in", 10, "timer:20")
        bench.log.append("in", 20, "at its due instant")
        bench.log.append("in", 21, "timer:5")  # due in the past already
        bench.log.append("in", 21, "same arrival")
        bench.log.append("in", 22, "later")
        shard = bench.start()
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
        await shard.stop()

    run(scenario)


def test_time_never_goes_back() -> None:
    async def scenario() -> None:
        bench = Bench()
        bench.log.append("in", 10, "a")
        bench.log.append("in", 7, "b")
        shard = bench.start()
        await bench.settle()
        assert bench.log.values() == ["1 a @10", "2 b @10"]
        assert last_applied(bench.log) == Applied({"in": 2}, 10 * MS)
        await shard.stop()

    run(scenario)


@pytest.mark.parametrize("live", [False, True])
def test_a_transaction_that_ends_between_timers_carries_no_time_before_those_that_acted(live: bool) -> None:
    async def scenario() -> None:
        bench = Bench(acts=1)
        for due in (20, 30, 30):
            bench.log.append("in", 10, f"timer:{due}")
        if not live:
            bench.log.append("in", 40, "later")
        shard = bench.start()
        await bench.settle()
        await bench.tick(50)
        assert [value for value in bench.log.values() if value.startswith("due")] == ["due 20", "due 30", "due 30"]
        written = iter(bench.log.values())
        times = [decode_applied(value).time for key, value in bench.log.changelog if key == APPLIED_KEY and value]
        assert times == sorted(times)
        for size, time in zip(bench.log.sizes, times, strict=True):
            for value in itertools.islice(written, size):
                what, instant = value.split()[:2]
                assert what != "due" or int(instant) * MS <= time <= 50 * MS, (value, time)
        await shard.stop()

    run(scenario)


def test_a_live_timer_waits_for_the_clock_and_the_skew() -> None:
    async def scenario() -> None:
        bench = Bench(skew_us=5 * MS)
        shard = bench.start()
        await bench.settle()
        await bench.add(10, "timer:30")
        for ms in (29, 30, 34, 35):
            await bench.tick(ms)
            assert bench.log.values() == ["1 timer:30 @10"], ms
        await bench.tick(36)
        assert bench.log.values() == ["1 timer:30 @10", "due 30"]
        assert last_applied(bench.log).time == 31 * MS
        await shard.stop()

    run(scenario)


def test_a_live_timer_waits_for_input_that_was_there_before_it() -> None:
    async def scenario() -> None:
        bench = Bench(live=False)
        bench.log.append("in", 10, "timer:30")
        bench.log.append("in", 25, "not yet delivered")
        shard = bench.start()
        await bench.settle()
        shard.offer(Batch("in", 0, 0, 1, bench.log.inputs["in"][:1]))
        await bench.settle()
        await bench.tick(1_000)
        assert "ends" in bench.log.calls
        assert bench.log.values() == ["1 timer:30 @10"]
        shard.offer(Batch("in", 0, 1, 2, bench.log.inputs["in"][1:]))
        await bench.settle()
        assert bench.log.values() == ["1 timer:30 @10", "2 not yet delivered @25", "due 30"]
        await shard.stop()

    run(scenario)


def test_the_end_is_asked_for_after_the_instant_not_before() -> None:
    async def scenario() -> None:
        bench = Bench(live=False)
        shard = bench.start()
        await bench.settle()
        bench.log.append("in", 10, "timer:30")
        shard.offer(Batch("in", 0, 0, 1, bench.log.inputs["in"]))
        await bench.settle()
        bench.log.ends_gate = asyncio.Event()
        await bench.tick(31)  # asks, and is not answered yet
        bench.log.append("in", 40, "arrives while the answer is under way")
        await bench.tick(50)
        bench.log.ends_gate.set()
        await bench.settle()
        assert bench.log.values() == ["1 timer:30 @10", "due 30"]
        assert last_applied(bench.log).time == 31 * MS, "time moved only to the instant at which it asked"
        shard.offer(Batch("in", 0, 1, 2, bench.log.inputs["in"][1:]))
        await bench.settle()
        assert bench.log.values()[-1] == "2 arrives while the answer is under way @40"
        await shard.stop()

    run(scenario)


def test_topics_are_merged_by_arrival_and_timers_wait_for_all_of_them() -> None:
    async def scenario() -> None:
        bench = Bench(MemoryLog(topics=("a", "b")), live=False)
        bench.log.append("a", 10, "a10")
        bench.log.append("a", 30, "a30")
        bench.log.append("b", 20, "b20")
        shard = bench.start()
        await bench.settle()
        shard.offer(Batch("a", 0, 0, 2, bench.log.inputs["a"]))
        await bench.settle()
        assert not bench.log.values(), "b has a backlog: what arrived first is not known yet"
        shard.offer(Batch("b", 0, 0, 1, bench.log.inputs["b"]))
        await bench.settle()
        assert [value.split()[1] for value in bench.log.values()] == ["a10", "b20", "a30"]
        bench.log.append("a", 40, "timer:50")
        bench.log.append("b", 45, "b45")
        bench.log.append("a", 60, "a60")
        shard.offer(Batch("a", 0, 2, 4, bench.log.inputs["a"][2:]))
        await bench.settle()
        assert bench.log.values()[-1].split()[1] == "timer:50", "b may hold something that arrived before 50"
        shard.offer(Batch("b", 0, 1, 2, bench.log.inputs["b"][1:]))
        await bench.settle()
        assert [value.split(" ", 1)[1] for value in bench.log.values()[-3:]] == ["b45 @45", "50", "a60 @60"]
        await shard.stop()

    run(scenario)


def test_work_per_transaction_is_bounded() -> None:
    async def scenario() -> None:
        bench = Bench(records=4, acts=3)
        for number in range(10):
            bench.log.append("in", 1, f"timer:{10 + number}")
        bench.log.append("in", 100, "last")
        shard = bench.start()
        await bench.settle(600)
        assert bench.log.values()[10:] == [*(f"due {10 + number}" for number in range(10)), "11 last @100"]
        assert bench.log.sizes == [4, 4, 2 + 3, 3, 3, 1 + 1]
        await shard.stop()

    run(scenario)


class Slow(Diary):
    """A record `heavy` takes ten seconds of the stopwatch, any other, and a timer, one."""

    elapsed = 0.0

    def apply(self, record: Record, effects: Effects) -> None:
        Slow.elapsed += 10 if record.value == b"heavy" else 1
        super().apply(record, effects)

    def act(self, before: int, limit: int, effects: Effects) -> int:
        acted = super().act(before, limit, effects)
        Slow.elapsed += acted
        return acted


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
        shard = bench.start()
        await bench.settle(600)
        assert [value.split()[1] for value in bench.log.values()] == [
            *values,
            *(str(10 + number) for number in range(7)),
            "last",
        ]
        assert bench.log.sizes == sizes
        await shard.stop()

    run(scenario)


def test_what_a_transaction_writes_is_bounded_but_for_one_record() -> None:
    async def scenario() -> None:
        bench = Bench(bytes=20)
        values = ["a", "b", "x" * 50, "y" * 50, "c", "d"]
        for value in values:
            bench.log.append("in", 1, value)
        shard = bench.start()
        await bench.settle(600)
        assert [value.split()[1] for value in bench.log.values()] == values
        assert bench.log.sizes == [3, 1, 2]
        await shard.stop()

    run(scenario)


def test_r18_a_record_that_forbids_to_go_on_stops_the_worker() -> None:
    """Nothing is wrong with the record: it is not rejected, and nothing is written."""

    class Told(Diary):
        def apply(self, record: Record, effects: Effects) -> None:
            if record.value == b"other content":
                raise PolicyChanged("scalr-emergency 1 has other content")
            super().apply(record, effects)

    async def scenario() -> None:
        bench = Bench(make=Told)
        bench.log.append("in", 1, "a")
        shard = bench.start()
        await bench.settle()
        await bench.add(2, "other content")
        assert shard.state is ShardState.HALTED
        assert shard.refused is not None
        assert bench.log.values() == ["1 a @1"]
        await shard.stop()

    run(scenario)


def test_neighbours_get_the_loop_between_slow_records() -> None:
    """However many records one transaction takes, other shards and the heartbeat need not wait for all of them."""

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
        shard = bench.start()
        other = asyncio.create_task(neighbour())
        await bench.settle()
        assert set(turns) >= set(range(1, 22)), "a turn after each record"
        assert bench.log.sizes == [20 + 20 + 1], "of one transaction"
        assert turns.count(20) >= 20, "and after each timer"
        other.cancel()
        await shard.stop()

    run(scenario)


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_unknown_outcome_discards_state_and_nothing_is_lost_or_doubled(when: str) -> None:
    async def scenario() -> None:
        bench = Bench(records=2)
        bench.log.faults = [("", broker_away), (when, broker_away)]
        for number in range(9):
            bench.log.append("in", 1, f"{number}")
        shard = bench.start()
        await bench.settle()
        assert shard.state is ShardState.RECOVERING
        await bench.tick(60_000)
        assert bench.log.values() == [f"{number + 1} {number} @1" for number in range(9)]
        assert bench.log.epoch == 2
        await shard.stop()

    run(scenario)


def test_a_fenced_shard_writes_nothing_and_stops() -> None:
    async def scenario() -> None:
        bench = Bench()
        shard = bench.start()
        await bench.settle()
        await bench.add(1, "mine")
        bench.log.epoch += 1  # somebody else initialises the same transactional id
        await bench.add(2, "theirs")
        assert shard.state is ShardState.FENCED
        assert bench.log.values() == ["1 mine @1"]
        await bench.add(3, "theirs too")
        await bench.tick(9_000)
        assert bench.log.epoch == 2, "it does not fence back"
        await shard.stop()
        assert bench.log.values() == ["1 mine @1"]

    run(scenario)


def test_fenced_by_its_own_timeout_and_still_the_owner_it_starts_again() -> None:
    async def scenario() -> None:
        bench = Bench()
        shard = bench.start()
        await bench.settle()
        bench.log.epoch += 1
        await bench.add(1, "a")
        assert shard.state is ShardState.FENCED
        await bench.tick(11_000)
        assert shard.state is ShardState.RUNNING
        assert bench.log.values() == ["1 a @1"]
        await shard.stop()

    run(scenario)


def test_poison_is_isolated_and_rejected_while_its_neighbours_go_through() -> None:
    async def scenario() -> None:
        bench = Bench()
        for value in ("a", "poison", "b"):
            bench.log.append("in", 1, value)
        shard = bench.start()
        await bench.settle(1_000)
        assert bench.log.values() == [
            "1 a @1",
            "rejected internal in@1 after 3: ValueError: poisoned",
            "2 b @1",
        ]
        assert bench.log.calls.count("fence") == 4
        assert shard.state is ShardState.RUNNING
        await shard.stop()

    run(scenario)


def test_timers_that_keep_failing_halt_the_shard() -> None:
    async def scenario() -> None:
        class Faulty(Diary):
            faulty_timers = True

        bench = Bench(make=Faulty)
        bench.log.append("in", 1, "timer:2")
        bench.log.append("in", 3, "a")
        shard = bench.start()
        for ms in range(0, 60_000, 5_000):
            await bench.tick(ms)
        assert shard.state is ShardState.HALTED
        assert "faulty" in shard.reason
        assert bench.log.values() == []
        await shard.stop()

    run(scenario)


def test_r27_a_subject_whose_timers_keep_failing_is_set_aside_alone() -> None:
    """Bounded retries, one quarantine in a transaction of its own; the timers of others act, and inputs go on."""

    async def scenario() -> None:
        class Faulty(Diary):
            def act(self, before: int, limit: int, effects: Effects) -> int:
                if self.due[0] == 2 * MS:
                    try:
                        raise ValueError("faulty")
                    except ValueError as error:
                        raise SubjectFailed("2000") from error
                return super().act(before, limit, effects)

        bench = Bench(make=Faulty)
        bench.log.append("in", 1, "timer:2")
        bench.log.append("in", 1, "timer:3")
        bench.log.append("in", 9, "a")
        shard = bench.start()
        for ms in range(0, 60_000, 5_000):
            await bench.tick(ms)
        assert shard.state is ShardState.RUNNING
        assert bench.log.values() == [
            "1 timer:2 @1",
            "2 timer:3 @1",
            "quarantined 2000 after 3: a timer of 2000: ValueError: faulty",
            "due 3",
            "3 a @9",
        ]
        await shard.stop()

    run(scenario)


def test_a_refused_write_halts() -> None:
    async def scenario() -> None:
        bench = Bench()
        bench.log.faults = [("before", lambda: WriteRefused("too large"))]
        shard = bench.start()
        await bench.settle()
        await bench.add(1, "a")
        assert shard.state is ShardState.HALTED
        assert not bench.log.commits
        await shard.stop()

    run(scenario)


def test_stop_finishes_the_transaction_in_flight() -> None:
    async def scenario() -> None:
        bench = Bench()
        bench.log.commit_gate = asyncio.Event()
        shard = bench.start()
        await bench.settle()
        await bench.add(1, "a")
        stopping = asyncio.create_task(shard.stop())
        await bench.settle()
        assert not stopping.done()
        bench.log.commit_gate.set()
        await stopping
        assert bench.log.values() == ["1 a @1"]
        assert bench.log.group == {"in": 1}

    run(scenario)


def test_a_full_queue_closes_its_topic_until_it_has_drained() -> None:
    async def scenario() -> None:
        bench = Bench(bound=10, records=5, live=False)
        bench.log.commit_gate = asyncio.Event()
        for number in range(40):
            bench.log.append("in", 1, f"{number}")
        shard = bench.start()
        await bench.settle()
        shard.offer(Batch("in", 0, 0, 40, bench.log.inputs["in"]))
        assert not shard.accepts("in")
        await bench.settle()
        assert not shard.accepts("in"), "the commit does not get through"
        bench.log.commit_gate.set()
        await bench.settle()
        assert shard.accepts("in")
        assert len(bench.log.values()) == 40
        await shard.stop()

    run(scenario)


def test_the_next_batch_is_decided_while_the_last_commits() -> None:
    async def scenario() -> None:
        decided: list[int] = []

        class Watched(Diary):
            def apply(self, record: Record, effects: Effects) -> None:
                decided.append(record.offset)
                super().apply(record, effects)

        bench = Bench(records=2, make=Watched)
        bench.log.commit_gate = asyncio.Event()
        for number in range(6):
            bench.log.append("in", 1, f"{number}")
        shard = bench.start()
        await bench.settle()
        assert decided == [0, 1, 2, 3], "one transaction in flight, one decided, no further"
        bench.log.commit_gate.set()
        await bench.settle()
        assert len(bench.log.values()) == 6
        await shard.stop()

    run(scenario)


def test_a_full_queue_does_not_keep_a_timer_waiting_for_what_cannot_come() -> None:
    """The queue of `a` is over its bound and its next record waits for a timer: nothing more of `a` is read, so its
    end is not reached; that nothing earlier is missing follows from what is queued of `a` and the end of `b`."""

    async def scenario() -> None:
        bench = Bench(MemoryLog(topics=("a", "b")), ManualClock(100 * MS), bound=2, live=False)
        bench.log.append("a", 1, "timer:5")
        for number in range(8):
            bench.log.append("a", 10 + number, f"{number}")
        shard = bench.start()
        await bench.settle()
        shard.offer(Batch("a", 0, 0, 4, bench.log.inputs["a"][:4]))
        await bench.settle()
        assert bench.log.values() == ["1 timer:5 @1", "due 5", "2 0 @10", "3 1 @11", "4 2 @12"]
        assert shard.accepts("a")
        await shard.stop()

    run(scenario)


def test_offsets_that_a_new_owner_moves_while_they_are_read_halt_nobody() -> None:
    """Fenced during its recovery, between the changelog and the offsets: not a difference that a person must judge."""

    async def scenario() -> None:
        class Overtaken(MemoryLog):
            async def committed(self) -> Mapping[str, int]:
                if self.epoch == 1:
                    self.epoch = 2  # the new owner fences, commits
                    self.changelog.append((APPLIED_KEY, encode_applied(Applied({"in": 1}, 1 * MS))))
                    self.group = {"in": 1}
                return await super().committed()

        bench = Bench(Overtaken())
        bench.log.append("in", 1, "theirs")
        bench.log.append("in", 1, "ours")
        shard = bench.start()
        await bench.settle()
        assert shard.state is ShardState.FENCED
        await bench.tick(11_000)  # it is still the owner: the other one has gone
        assert shard.state is ShardState.RUNNING
        assert bench.log.values() == ["1 ours @1"]
        await shard.stop()

    run(scenario)


def test_a_failed_commit_counts_before_a_decision_that_failed_on_top_of_it() -> None:
    """Else a fenced shard would fence back, and decisions on what was never written would be counted as tries."""

    async def scenario() -> None:
        bench = Bench(records=1)
        bench.log.commit_gate = asyncio.Event()
        bench.log.append("in", 1, "a")
        bench.log.append("in", 1, "poison")
        shard = bench.start()
        await bench.settle()
        bench.log.epoch += 1  # a new owner
        bench.log.commit_gate.set()
        await bench.settle()
        assert shard.state is ShardState.FENCED
        assert bench.log.epoch == 2, "it does not fence back"
        await shard.stop()

    run(scenario)
