"""The task's promises over a log in memory: order of recovery, exactly once, what it reads and when."""

from __future__ import annotations

import asyncio

import pytest
from task_bench import MS, Bench, Diary, last_applied, run

from streams.runtime.checkpoint import CHECKPOINT_KEY, Checkpoint, encode_checkpoint
from streams.runtime.errors import InputLost
from streams.runtime.interfaces import Batch
from streams.runtime.processor import Effects, Record
from streams.runtime.task import TaskState


def test_fences_then_replays_then_reads_offsets_then_seeks() -> None:
    async def scenario() -> None:
        bench = Bench()
        bench.log.append("in", 1, "a")
        bench.start()
        await bench.settle()
        assert bench.log.calls[:5] == ["fence", "topic_ids", "replay", "committed", "bounds"]
        assert bench.feed.rewinds == [{"in": 0}]
        assert bench.log.values() == ["1 a @1"]
        await bench.task.stop()
        assert bench.task.state is TaskState.STOPPED

    run(scenario)


def test_holds_batches_until_ready() -> None:
    async def scenario() -> None:
        bench = Bench(live=False)
        for number in range(3):
            bench.log.append("in", 1, f"{number}")
        bench.log.replay_gate = asyncio.Event()
        task = bench.start()
        await bench.settle()
        task.offer(Batch("in", 0, 0, 3, bench.log.inputs["in"]))
        await bench.settle()
        assert not bench.log.commits
        bench.log.replay_gate.set()
        await bench.settle()
        assert bench.log.values() == ["1 0 @1", "2 1 @1", "3 2 @1"]
        await task.stop()

    run(scenario)


def test_what_is_more_than_can_be_held_is_read_again() -> None:
    async def scenario() -> None:
        bench = Bench(bound=2)
        for number in range(5):
            bench.log.append("in", 1, f"{number}")
        bench.log.replay_gate = asyncio.Event()
        task = bench.start()
        await bench.settle()
        task.offer(Batch("in", 0, 0, 5, bench.log.inputs["in"]))
        bench.log.replay_gate.set()
        await bench.settle()
        assert bench.feed.rewinds == [{"in": 0}]
        assert [value.split()[1] for value in bench.log.values()] == ["0", "1", "2", "3", "4"]
        await task.stop()

    run(scenario)


def test_drops_what_is_below_its_own_applied_offset() -> None:
    async def scenario() -> None:
        bench = Bench(live=False)
        for number in range(4):
            bench.log.append("in", 1, f"{number}")
        bench.log.changelog = [(CHECKPOINT_KEY, encode_checkpoint(Checkpoint({"in": 2}, 1 * MS)))]
        bench.log.group = {"in": 2}
        task = bench.start()
        await bench.settle()
        task.offer(Batch("in", 0, 0, 4, bench.log.inputs["in"]))
        await bench.settle()
        assert bench.log.values() == ["1 2 @1", "2 3 @1"]
        await task.stop()

    run(scenario)


def test_a_missing_stretch_is_asked_for_again_and_markers_are_none() -> None:
    async def scenario() -> None:
        bench = Bench(live=False)
        bench.log.append("in", 1, "a")
        bench.log.append("in", 1, "b", skip=3)
        bench.log.append("in", 1, "c")
        task = bench.start()
        await bench.settle()
        records = bench.log.inputs["in"]
        task.offer(Batch("in", 0, 5, 6, records[2:]))
        await bench.settle()
        assert bench.feed.rewinds == [{"in": 0}, {"in": 0}]
        assert not bench.log.values()
        task.offer(Batch("in", 0, 0, 6, records))
        await bench.settle()
        assert len(bench.log.values()) == 3
        task.offer(Batch("in", 0, 6, 9, ()))  # markers only
        await bench.settle()
        assert task.wants("in") == 9
        await task.stop()

    run(scenario)


@pytest.mark.parametrize(
    ("applied", "group", "start", "reason"),
    [
        (2, 1, 0, "the next offset is 2 by the changelog, 1 by the consumer group"),
        (None, 1, 0, "the next offset is None by the changelog, 1 by the consumer group"),
        (2, 2, 3, "the next offset is 2, the log holds 3 to 4"),
        (9, 9, 0, "the next offset is 9, the log holds 0 to 4"),
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
            bench.log.changelog = [(CHECKPOINT_KEY, encode_checkpoint(Checkpoint({"in": applied}, 0)))]
        task = bench.start()
        await bench.tick(0)
        assert task.state in (TaskState.HALTED, TaskState.FENCED), "offsets that differ are looked at once more"
        await bench.tick(11_000)
        assert task.state is TaskState.HALTED
        assert reason in task.reason
        task.offer(Batch("in", 0, 0, 4, bench.log.inputs["in"]))
        await bench.settle()
        assert not bench.log.commits
        await task.stop()

    run(scenario)


def test_a_missing_group_offset_is_restored_from_the_changelog() -> None:
    async def scenario() -> None:
        bench = Bench()
        bench.log.append("in", 1, "a")
        bench.log.changelog = [(CHECKPOINT_KEY, encode_checkpoint(Checkpoint({"in": 1}, 5)))]
        task = bench.start()
        await bench.settle()
        assert bench.log.group == {"in": 1}
        assert last_applied(bench.log) == Checkpoint({"in": 1}, 5)
        await task.stop()

    run(scenario)


def test_input_lost_while_running_halts() -> None:
    async def scenario() -> None:
        bench = Bench()
        task = bench.start()
        await bench.settle()
        task.interrupt(InputLost(agent="diary", partition=0, topic="in", applied=0, log_start=None, log_end=None))
        await bench.settle()
        assert task.state is TaskState.HALTED
        await task.stop()

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
            (CHECKPOINT_KEY, encode_checkpoint(Checkpoint({"in": 0}, 1 * MS))),
        ]
        task = bench.start()
        await bench.settle()
        await bench.add(10, "x")
        assert bench.log.values() == ["due 9", "6 x @10"]
        await task.stop()

    run(scenario)


def test_an_unreadable_row_halts() -> None:
    async def scenario() -> None:
        bench = Bench()
        bench.log.changelog = [(CHECKPOINT_KEY, b"\xc3\x01 not ours")]
        task = bench.start()
        await bench.settle()
        assert task.state is TaskState.HALTED
        assert "checkpoint row" in task.reason
        await task.stop()

    run(scenario)


def test_stop_finishes_the_transaction_in_flight() -> None:
    async def scenario() -> None:
        bench = Bench()
        bench.log.commit_gate = asyncio.Event()
        task = bench.start()
        await bench.settle()
        await bench.add(1, "a")
        stopping = asyncio.create_task(task.stop())
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
        task = bench.start()
        await bench.settle()
        task.offer(Batch("in", 0, 0, 40, bench.log.inputs["in"]))
        assert not task.accepts("in")
        await bench.settle()
        assert not task.accepts("in"), "the commit does not get through"
        bench.log.commit_gate.set()
        await bench.settle()
        assert task.accepts("in")
        assert len(bench.log.values()) == 40
        await task.stop()

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
        task = bench.start()
        await bench.settle()
        assert decided == [0, 1, 2, 3], "one transaction in flight, one decided, no further"
        bench.log.commit_gate.set()
        await bench.settle()
        assert len(bench.log.values()) == 6
        await task.stop()

    run(scenario)
