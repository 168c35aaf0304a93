"""What a task does when a decision crashes, a commit fails or another owner comes."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Mapping
from unittest.mock import AsyncMock, Mock

import pytest
from aiokafka import TopicPartition
from memory_log import MemoryLog, MemoryTransactions, broker_away
from task_bench import MS, Bench, Diary, last_applied, run

from streams.errors import PolicyChanged
from streams.logs import configure_logs
from streams.metrics import REGISTRY
from streams.runtime.checkpoint import CHECKPOINT_KEY, Checkpoint, encode_checkpoint
from streams.runtime.errors import TaskInterrupted, TimestampsRefused, WriteRefused
from streams.runtime.kafka_log import KafkaLog, Offsets
from streams.runtime.processor import Effects, Record, SubjectFailed
from streams.runtime.settings import RuntimeSettings
from streams.runtime.task import StreamTask, TaskState
from streams.runtime.task_manager import TaskManager
from streams.runtime.transaction_builder import TransactionLimits


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
        task = bench.start()
        await bench.settle()
        await bench.add(2, "other content")
        assert task.state is TaskState.HALTED
        assert task.refused is not None
        assert bench.log.values() == ["1 a @1"]
        await task.stop()

    run(scenario)


def test_what_fails_for_want_of_memory_is_tried_again_and_costs_no_input() -> None:
    """Neither the record nor the row nor the timer is at fault: none is rejected, halts its task or is quarantined."""
    left = {"apply": 5, "restore": 2, "fire": 5}

    def scarce(what: str) -> None:
        left[what] -= 1
        if left[what] >= 0:
            raise MemoryError

    class Scarce(Diary):
        def apply(self, record: Record, effects: Effects) -> None:
            scarce("apply")
            super().apply(record, effects)

        def restore(self, key: bytes, value: bytes) -> None:
            scarce("restore")
            super().restore(key, value)

        def fire(self, before: int, limit: int, effects: Effects) -> int:
            try:
                scarce("fire")
            except MemoryError as error:
                raise SubjectFailed("1000000") from error
            return super().fire(before, limit, effects)

    async def scenario() -> None:
        bench = Bench(make=Scarce)
        bench.log.append("in", 1, "timer:1000")
        task = bench.start()
        for number in range(16):
            await bench.tick(10_000 * number)
        assert bench.log.values() == ["1 timer:1000 @1", "due 1000"]
        assert task.timers_fired == 1
        assert task.reported == (TaskState.RUNNING, "")
        assert max(left.values()) < 0
        await task.stop()

    run(scenario)


def test_want_of_memory_at_the_end_of_a_transaction_is_told_and_tried_again() -> None:
    left = 5

    class Scarce(Diary):
        def finish(self, effects: Effects, limit: int) -> bool:
            nonlocal left
            left -= 1
            if left >= 0:
                raise MemoryError
            return True

    async def scenario() -> None:
        bench = Bench(make=Scarce)
        task = bench.start()
        await bench.settle()
        await bench.add(1, "a")
        assert "out of memory" in task.reason
        for number in range(10):
            await bench.tick(10_000 * number)
        assert task.reported == (TaskState.RUNNING, "")
        assert bench.log.values() == ["1 a @1"]
        await task.stop()

    run(scenario)


def test_a_task_that_finds_no_memory_outside_its_decisions_goes_on_trying() -> None:
    """As where its rows are restored: it would halt after a few attempts, and stay so when there is memory again."""
    left = 6

    class Scarce(Diary):
        def restored(self) -> None:
            nonlocal left
            left -= 1
            if left >= 0:
                raise MemoryError
            super().restored()

    async def scenario() -> None:
        bench = Bench(make=Scarce)
        bench.log.append("in", 1, "a")
        task = bench.start()
        for number in range(10):
            await bench.tick(10_000 * number)
        assert task.reported == (TaskState.RUNNING, "")
        assert bench.log.values() == ["1 a @1"]
        await task.stop()

    run(scenario)


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_unknown_outcome_discards_state_and_nothing_is_lost_or_doubled(when: str) -> None:
    async def scenario() -> None:
        bench = Bench(records=2)
        bench.log.faults = [("", broker_away), (when, broker_away)]
        for number in range(9):
            bench.log.append("in", 1, f"{number}")
        task = bench.start()
        await bench.settle()
        assert task.state is TaskState.RECOVERING
        await bench.tick(60_000)
        assert bench.log.values() == [f"{number + 1} {number} @1" for number in range(9)]
        assert bench.log.epoch == 2
        await task.stop()

    run(scenario)


def test_a_task_that_starts_again_says_what_interrupted_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """While Kafka is away a start takes longer than the pause before it: otherwise hardly anybody sees it in /ready."""
    told: list[str] = []
    enter = StreamTask._enter

    def remember(self: StreamTask, state: TaskState, reason: str) -> None:
        told.append(reason)
        enter(self, state, reason)

    async def scenario() -> None:
        bench = Bench()
        bench.log.faults = [("before", broker_away), ("", broker_away), ("after", broker_away)]
        monkeypatch.setattr(StreamTask, "_enter", remember)
        bench.log.append("in", 1, "a")
        task = bench.start()
        await bench.settle()
        await bench.tick(60_000)
        assert task.state is TaskState.RUNNING
        again = "replaying the changelog; interrupted before: the broker went away"
        assert [reason for reason in told if "replaying" in reason] == ["replaying the changelog", again]
        assert not task.interrupted, "something was committed since"
        await task.stop()

    run(scenario)


def test_what_neither_kafka_nor_the_network_explains_has_a_traceback_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is tried without end, and by its text alone nobody finds where it came from."""
    causes: list[Exception] = [ConnectionRefusedError(), KeyError("offsets"), KeyError("offsets"), KeyError("rows")]

    async def scenario() -> None:
        bench = Bench()
        committed = bench.log.committed

        async def failing() -> Mapping[str, int]:
            if causes:
                log = KafkaLog(RuntimeSettings("sla", ()), Mock(), "diary", 0, ())
                raise log._interrupted("committed offsets", causes[0]) from causes.pop(0)
            return await committed()

        monkeypatch.setattr(bench.log, "committed", failing)
        out = io.StringIO()
        configure_logs(json=True, stream=out)
        task = bench.start()
        for number in range(6):
            await bench.tick(10_000 * number)
        logs = [json.loads(line) for line in out.getvalue().splitlines()]
        told = [each for each in logs if each["event"] == "task_interrupted"]
        assert ["failing" in json.dumps(each.get("exception", "")) for each in told] == [False, True, False, True]
        assert "KeyError('offsets')" in told[1]["error"]
        assert task.reported == (TaskState.RUNNING, "")
        await task.stop()

    run(scenario)


@pytest.mark.parametrize("method", ["ends", "written", "stable_ends"])
def test_an_unexplained_error_of_a_request_for_ends_has_its_class(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The text of a KeyError is a key."""

    async def scenario() -> None:
        offsets = Offsets(RuntimeSettings("sla", ()))
        monkeypatch.setattr(offsets, "_consumer", AsyncMock(side_effect=KeyError(7)))
        with pytest.raises(TaskInterrupted, match=r"end offsets: KeyError\(7\)") as raised:
            await getattr(offsets, method)((TopicPartition("sla.in", 0),))
        assert isinstance(raised.value.__cause__, KeyError)
        await offsets.close()

    asyncio.run(scenario())


def test_an_outage_brings_a_task_no_nearer_to_its_halt() -> None:
    """One unexpected error after some failed attempts would keep it halted until a person starts the worker again."""

    def unexpected() -> Exception:
        return ValueError("unexpected")

    async def scenario() -> None:
        bench = Bench()
        bench.log.faults = [("before", broker_away)] * 5 + [("before", unexpected)] * 2
        bench.log.append("in", 1, "a")
        task = bench.start()
        for number in range(10):
            await bench.tick(10_000 * number)
        assert task.reported == (TaskState.RUNNING, "")
        bench.log.faults = [("before", unexpected)] * 3
        await bench.add(2, "b")
        for number in range(10, 14):
            await bench.tick(10_000 * number)
        assert (task.state, task.reason) == (TaskState.HALTED, "unexpected")
        await task.stop()

    run(scenario)


@pytest.mark.parametrize("where", ["commit", "fence", "ends"])
def test_a_cancellation_that_nobody_asked_for_is_an_interruption(monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    """aiokafka raises the CancelledError of its own tasks to others. The partition would stand still without a word."""

    def cancelled(*_: object) -> Exception:
        raise asyncio.CancelledError

    async def scenario() -> None:
        bench = Bench()
        if where == "commit":
            bench.log.faults = [("before", cancelled)]
        bench.log.append("in", 1, "timer:2")
        with monkeypatch.context() as short:
            if where != "commit":
                short.setattr(MemoryLog, where, cancelled)
            task = bench.start()
            await bench.settle()
            await bench.tick(3)
        assert (task.state, task.reason) == (TaskState.RECOVERING, "a client of Kafka gave up")
        for ms in (1_000, 5_000):
            await bench.tick(ms)
        assert task.reported == (TaskState.RUNNING, "")
        assert bench.log.values() == ["1 timer:2 @1", "due 2"]
        assert task.ended is None
        await task.stop()
        assert task.ended is None

    run(scenario)


def test_a_task_that_ends_although_nobody_stopped_it_ends_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise LookupError("a defect")

    async def scenario() -> None:
        manager = TaskManager(RuntimeSettings("sla", ("127.0.0.1:1",)), [])
        bench = Bench()
        manager.tasks["diary", 0] = task = bench.start()
        await bench.settle()
        assert manager.crash() is None
        monkeypatch.setattr(task, "_enter_failed", broken)
        bench.log.faults = [("before", broker_away)]
        await bench.add(1, "a")
        assert isinstance(manager.crash(), LookupError)
        await task.stop()

    run(scenario)


def test_a_fenced_shard_writes_nothing_and_stops() -> None:
    async def scenario() -> None:
        bench = Bench()
        task = bench.start()
        await bench.settle()
        await bench.add(1, "mine")
        bench.log.epoch += 1  # somebody else initialises the same transactional id
        await bench.add(2, "theirs")
        assert task.state is TaskState.FENCED
        assert bench.log.values() == ["1 mine @1"]
        await bench.add(3, "theirs too")
        await bench.tick(9_000)
        assert bench.log.epoch == 2, "it does not fence back"
        await task.stop()
        assert bench.log.values() == ["1 mine @1"]

    run(scenario)


def test_fenced_by_its_own_timeout_and_still_the_owner_it_starts_again() -> None:
    async def scenario() -> None:
        bench = Bench()
        task = bench.start()
        await bench.settle()
        bench.log.epoch += 1
        await bench.add(1, "a")
        assert task.state is TaskState.FENCED
        await bench.tick(11_000)
        assert task.state is TaskState.RUNNING
        assert bench.log.values() == ["1 a @1"]
        await task.stop()

    run(scenario)


def test_poison_is_isolated_and_rejected_while_its_neighbours_go_through() -> None:
    async def scenario() -> None:
        bench = Bench()
        for value in ("a", "poison", "b"):
            bench.log.append("in", 1, value)
        task = bench.start()
        await bench.settle(1_000)
        assert bench.log.values() == [
            "1 a @1",
            "rejected internal in@1 after 3: ValueError: poisoned",
            "2 b @1",
        ]
        assert bench.log.calls.count("fence") == 4
        assert task.state is TaskState.RUNNING
        await task.stop()

    run(scenario)


def test_timers_that_keep_failing_halt_the_shard() -> None:
    async def scenario() -> None:
        class Faulty(Diary):
            faulty_timers = True

        bench = Bench(make=Faulty)
        bench.log.append("in", 1, "timer:2")
        bench.log.append("in", 3, "a")
        task = bench.start()
        for ms in range(0, 60_000, 5_000):
            await bench.tick(ms)
        assert task.state is TaskState.HALTED
        assert "faulty" in task.reason
        assert bench.log.values() == []
        await task.stop()

    run(scenario)


def test_r27_a_subject_whose_timers_keep_failing_is_set_aside_alone() -> None:
    """Bounded retries, one quarantine in a transaction of its own; the timers of others act, and inputs go on."""

    async def scenario() -> None:
        class Faulty(Diary):
            def fire(self, before: int, limit: int, effects: Effects) -> int:
                if self.due[0] == 2 * MS:
                    try:
                        raise ValueError("faulty")
                    except ValueError as error:
                        raise SubjectFailed("2000") from error
                return super().fire(before, limit, effects)

        bench = Bench(make=Faulty)
        bench.log.append("in", 1, "timer:2")
        bench.log.append("in", 1, "timer:3")
        bench.log.append("in", 9, "a")
        task = bench.start()
        for ms in range(0, 60_000, 5_000):
            await bench.tick(ms)
        assert task.state is TaskState.RUNNING
        assert bench.log.values() == [
            "1 timer:2 @1",
            "2 timer:3 @1",
            "quarantined 2000 after 3: a timer of 2000: ValueError: faulty",
            "due 3",
            "3 a @9",
        ]
        await task.stop()

    run(scenario)


def test_a_pause_does_not_grow_by_what_the_clock_is_set_back() -> None:
    async def scenario() -> None:
        bench = Bench()
        bench.clock.set(3_600_000 * MS)
        bench.log.faults = [("before", broker_away)]
        task = bench.start()
        await bench.settle()
        await bench.add(1, "a")
        assert task.state is TaskState.RECOVERING
        for ms in (0, 100, 400):  # NTP corrects a clock that was an hour ahead
            await bench.tick(ms)
        assert task.state is TaskState.RUNNING
        assert bench.log.values() == ["1 a @1"]
        await task.stop()

    run(scenario)


def test_a_stream_time_ahead_of_what_kafka_takes_holds_no_task_up() -> None:
    """A broker's clock was two hours ahead for a while. Kafka 4 takes no record more than an hour ahead, so that the
    task could write nothing until then."""

    async def scenario() -> None:
        bench = Bench()
        bench.log.faults = [("before", lambda: TimestampsRefused("ahead"))]
        bench.log.append("in", 7_200_000, "a")
        task = bench.start()
        for ms in (1_000, 2_000, 3_000):
            await bench.tick(ms)
        assert task.reported == (TaskState.RUNNING, "")
        assert bench.log.values() == ["1 a @7200000"]
        assert bench.log.stamps == [2_000]
        assert last_applied(bench.log).time == 7_200_000 * MS, "its time does not go back (R11)"
        bench.clock.set(7_300_000 * MS)
        await bench.add(7_250_000, "b")
        assert bench.log.stamps == [2_000, 7_250_000]
        await task.stop()

    run(scenario)


def test_a_time_that_kafka_refuses_also_with_this_machines_clock_halts_the_task() -> None:
    """As where a topic has `message.timestamp.before.max.ms`: no attempt changes it, and nobody would be woken."""

    async def scenario() -> None:
        bench = Bench()
        bench.log.faults = [("before", lambda: TimestampsRefused("too far"))] * 3
        task = bench.start()
        await bench.settle()
        await bench.add(1, "a")
        assert task.state is TaskState.RECOVERING
        for ms in (1_000, 30_000):
            await bench.tick(ms)
            assert task.reported[0] is TaskState.HALTED
            assert "too far; the topics of this deployment must not have message.timestamp.before.max.ms" in task.reason
            assert len(bench.log.faults) == 1
        await bench.tick(32_000)
        assert not bench.log.faults
        assert task.reported[0] is TaskState.HALTED
        await bench.tick(95_000)
        assert task.reported == (TaskState.RUNNING, "")
        assert bench.log.values() == ["1 a @1"]
        await task.stop()

    run(scenario)


def test_a_refused_write_halts_and_is_tried_again_once_it_may_be_allowed() -> None:
    """A permission that is given back needs no restart; until then the task counts as halted."""

    async def scenario() -> None:
        bench = Bench()
        bench.log.faults = [("before", lambda: WriteRefused("not allowed"))] * 3
        task = bench.start()
        await bench.settle()
        await bench.add(1, "a")
        for ms in (0, 29_000, 31_000, 89_000, 91_000, 209_000):
            await bench.tick(ms)
            assert (task.state, task.reason) == (TaskState.HALTED, "not allowed")
            assert len(bench.log.faults) == (2 if ms < 30_000 else 1 if ms < 90_000 else 0)
        assert not bench.log.commits
        await bench.tick(212_000)
        assert task.state is TaskState.RUNNING
        assert bench.log.values() == ["1 a @1"]
        await task.stop()

    run(scenario)


def test_a_task_counts_as_halted_until_what_kafka_refused_is_written() -> None:
    """An alert that has to hold for a minute never fires if each attempt looks like running in between."""
    told: list[tuple[str, str, float | None]] = []

    async def scenario() -> None:
        bench = Bench(records=1)

        def refuse() -> Exception:
            told.append((*bench.task.reported, halted()))
            return WriteRefused("not allowed")

        bench.log.faults = [("before", refuse)] * 3
        task = bench.start()
        await bench.settle()
        await bench.add(1, "a")
        for ms in (31_000, 91_000):
            await bench.tick(ms)
            assert (*task.reported, halted()) == (TaskState.HALTED, "not allowed", 1)
        assert told == [(TaskState.RUNNING, "", 0), *[(TaskState.HALTED, "not allowed", 1)] * 2]
        await bench.tick(212_000)
        assert (*task.reported, halted()) == (TaskState.RUNNING, "", 0)
        await task.stop()

    run(scenario)


def test_a_commit_of_a_part_of_what_kafka_refused_does_not_end_the_halt() -> None:
    """The next attempt may be cut elsewhere, so that records before the refused one are written."""
    told: list[tuple[TaskState, str]] = []

    async def scenario() -> None:
        bench = Bench()

        def refuse() -> Exception:
            told.append(bench.task.reported)
            return WriteRefused("not allowed")

        bench.log.faults = [("before", refuse), ("", refuse), ("before", refuse)]
        bench.log.append("in", 1, "a")
        bench.log.append("in", 1, "b")
        task = bench.start()
        await bench.settle()
        task._limits = TransactionLimits(records=1, timers=1_000, seconds=1_000.0)
        await bench.tick(31_000)
        assert bench.log.values() == ["1 a @1"]
        assert told == [(TaskState.RUNNING, ""), (TaskState.HALTED, "not allowed")]
        assert task.reported == (TaskState.HALTED, "not allowed")
        await bench.tick(92_000)
        assert task.reported == (TaskState.RUNNING, "")
        await task.stop()

    run(scenario)


def test_a_halt_ends_where_only_a_marker_lies_behind_what_kafka_has_taken() -> None:
    """On an idle partition no other transaction follows that could show it."""

    async def scenario() -> None:
        bench = Bench()
        bench.log.faults = [("before", lambda: WriteRefused("not allowed"))]
        bench.log.append("in", 1, "a")
        bench.log.ends_at["in"] = 2  # a marker of the writer's transaction
        task = bench.start()
        await bench.settle()
        assert task.reported == (TaskState.HALTED, "not allowed")
        bench.log.ends_at["in"] = 1  # this time the record is fetched without it
        await bench.tick(31_000)
        assert bench.log.values() == ["1 a @1"]
        task.look_for_refusals()
        assert task.reported == (TaskState.HALTED, "not allowed"), "what lies behind may be a record that was refused"
        bench.log.ends_at["in"] = 2
        bench.feed.deliver()
        await bench.settle()
        task.look_for_refusals()
        assert task.reported == (TaskState.RUNNING, "")
        await task.stop()

    run(scenario)


def test_a_refused_timer_that_is_not_written_yet_keeps_its_task_halted() -> None:
    """Idle input alone does not show that Kafka takes what it refused."""

    async def scenario() -> None:
        bench = Bench()
        bench.log.faults = [("", broker_away), ("before", lambda: WriteRefused("not allowed"))]
        bench.log.append("in", 1, "timer:1000")
        task = bench.start()
        await bench.tick(2_000)
        assert task.reported == (TaskState.HALTED, "not allowed")
        bench.log.ends_gate = asyncio.Event()  # so that the timer waits for an answer
        await bench.tick(33_000)
        task.look_for_refusals()
        assert (task.state, task.reported) == (TaskState.RUNNING, (TaskState.HALTED, "not allowed"))
        bench.log.ends_gate.set()
        await bench.settle()
        task.look_for_refusals()
        assert task.reported == (TaskState.RUNNING, "")
        await task.stop()

    run(scenario)


def test_a_refused_beginning_ends_with_the_next_that_is_not() -> None:
    """Whoever has nothing to write would count as halted for ever."""

    async def scenario() -> None:
        class Closed(MemoryLog):
            refusals = 1

            async def fence(self) -> MemoryTransactions:
                if self.refusals:
                    self.refusals -= 1
                    raise WriteRefused("not this id")
                return await super().fence()

        bench = Bench(Closed())
        task = bench.start()
        await bench.settle()
        assert (*task.reported, halted()) == (TaskState.HALTED, "not this id", 1)
        await bench.tick(31_000)
        assert (*task.reported, halted()) == (TaskState.RUNNING, "", 0)
        await task.stop()

    run(scenario)


def halted() -> float | None:
    return REGISTRY.get_sample_value("sla_task_state", {"agent": "diary", "partition": "0", "state": "halted"})


def test_offsets_that_a_new_owner_moves_while_they_are_read_halt_nobody() -> None:
    """Fenced during its recovery, between the changelog and the offsets: not a difference that a person must judge."""

    async def scenario() -> None:
        class Overtaken(MemoryLog):
            async def committed(self) -> Mapping[str, int]:
                if self.epoch == 1:
                    self.epoch = 2  # the new owner fences, commits
                    self.changelog.append((CHECKPOINT_KEY, encode_checkpoint(Checkpoint({"in": 1}, 1 * MS))))
                    self.group = {"in": 1}
                return await super().committed()

        bench = Bench(Overtaken())
        bench.log.append("in", 1, "theirs")
        bench.log.append("in", 1, "ours")
        task = bench.start()
        await bench.settle()
        assert task.state is TaskState.FENCED
        await bench.tick(11_000)  # it is still the owner: the other one has gone
        assert task.state is TaskState.RUNNING
        assert bench.log.values() == ["1 ours @1"]
        await task.stop()

    run(scenario)


def test_a_failed_commit_counts_before_a_decision_that_failed_on_top_of_it() -> None:
    """Else a fenced task would fence back, and decisions on what was never written would be counted as tries."""

    async def scenario() -> None:
        bench = Bench(records=1)
        bench.log.commit_gate = asyncio.Event()
        bench.log.append("in", 1, "a")
        bench.log.append("in", 1, "poison")
        task = bench.start()
        await bench.settle()
        bench.log.epoch += 1  # a new owner
        bench.log.commit_gate.set()
        await bench.settle()
        assert task.state is TaskState.FENCED
        assert bench.log.epoch == 2, "it does not fence back"
        await task.stop()

    run(scenario)
