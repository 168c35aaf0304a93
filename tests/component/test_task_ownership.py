"""A changelog has one owner, and offsets belong to one topic: another deployment or another topic is noticed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest
from memory_log import MemoryLog
from task_bench import MS, Bench, last_applied, run

from schemas.registry import load
from streams.runtime import ownership
from streams.runtime.checkpoint import CHECKPOINT_KEY, Checkpoint, decode_checkpoint, encode_checkpoint
from streams.runtime.errors import TopicRecreated
from streams.runtime.ownership import OWNER_KEY, decode_owner, encode_owner
from streams.runtime.task import TaskState

OLD, NEW = b"o" * 16, b"n" * 16


def owner_of(log: MemoryLog) -> str:
    rows = [value for key, value in log.changelog if key == OWNER_KEY and value is not None]
    return decode_owner(rows[-1])


def test_the_first_start_claims_the_changelog_and_later_ones_find_it() -> None:
    async def scenario() -> None:
        bench = Bench(app_id="sla")
        bench.log.append("in", 1, "a")
        task = bench.start()
        await bench.settle()
        assert bench.log.values() == ["1 a @1"]
        await task.stop()
        again = bench.start()
        await bench.settle()
        assert again.state is TaskState.RUNNING
        assert [key for key, _ in bench.log.changelog].count(OWNER_KEY) == 1
        await again.stop()

    run(scenario)


def test_another_deployment_on_the_prefix_is_refused_with_the_reason_and_writes_nothing() -> None:
    async def scenario() -> None:
        bench = Bench(app_id="sla")
        task = bench.start()
        await bench.settle()
        await task.stop()
        bench.log.append("in", 1, "a")
        rows = list(bench.log.changelog)
        bench.app_id = "second"
        other = bench.start()
        await bench.settle()
        assert other.state is TaskState.HALTED
        assert other.refused is not None
        assert "belong to the deployment SLA_APP_ID=sla, this worker has SLA_APP_ID=second" in other.reason
        assert "SLA_TOPIC_PREFIX of its own" in other.reason
        assert (bench.log.changelog, bench.log.values()) == (rows, [])
        await other.stop()

    run(scenario)


def test_of_two_that_claim_at_once_the_first_row_decides() -> None:
    class Late(MemoryLog):
        """Shows the changelog as it was before another deployment's claim, once."""

        stale = True

        async def replay(self) -> AsyncIterator[Sequence[tuple[bytes, bytes | None]]]:
            self.calls.append("replay")
            rows, self.stale = ([] if self.stale else list(self.changelog)), False
            for row in rows:
                yield [row]

    async def scenario() -> None:
        log = Late(changelog=[(OWNER_KEY, encode_owner("first"))])
        bench = Bench(log=log, app_id="second")
        task = bench.start()
        await bench.settle()
        assert task.state is TaskState.HALTED
        assert "SLA_APP_ID=first" in task.reason
        assert owner_of(log) == "first", "compaction keeps the last row"
        await task.stop()

    run(scenario)


def test_a_claim_that_becomes_visible_late_interrupts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker answers a commit before its markers make the rows visible."""
    monkeypatch.setattr(ownership, "_LOOK_EVERY_S", 0)

    class Hesitant(MemoryLog):
        """Shows rows from the fourth look on."""

        looks = 0

        async def replay(self) -> AsyncIterator[Sequence[tuple[bytes, bytes | None]]]:
            self.looks += 1
            for row in list(self.changelog) if self.looks > 3 else []:
                yield [row]

    async def scenario() -> None:
        bench = Bench(log=Hesitant(), app_id="sla")
        task = bench.start()
        await bench.settle()
        assert task.state is TaskState.RUNNING
        assert task.restarts == 1, "the first start alone"
        assert [key for key, _ in bench.log.changelog].count(OWNER_KEY) == 1
        await task.stop()

    run(scenario)


def test_state_of_the_version_before_has_no_owner_and_is_claimed() -> None:
    async def scenario() -> None:
        bench = Bench(app_id="sla")
        bench.log.changelog = [(CHECKPOINT_KEY, encode_checkpoint(Checkpoint({"in": 0}, 0)))]
        task = bench.start()
        await bench.settle()
        assert task.state is TaskState.RUNNING
        assert owner_of(bench.log) == "sla"
        await task.stop()

    run(scenario)


def test_a_checkpoint_of_the_version_before_is_read() -> None:
    schema = load().latest["state.applied"]
    assert schema.version == 2
    before = bytes.fromhex("c3015b6b3ff8f2bcf4e7") + bytes.fromhex("02" + "04" + b"in".hex() + "0c" + "00" + "0a")
    assert decode_checkpoint(before) == Checkpoint({"in": 6}, 5, {})
    now = Checkpoint({"in": 6}, 5, {"in": OLD})
    assert decode_checkpoint(encode_checkpoint(now)) == now
    assert encode_checkpoint(now)[2:10] == schema.fingerprint


def test_topic_ids_are_part_of_the_checkpoint() -> None:
    async def scenario() -> None:
        bench = Bench()
        bench.log.topic_id = {"in": OLD}
        bench.log.append("in", 1, "a")
        task = bench.start()
        await bench.settle()
        assert last_applied(bench.log) == Checkpoint({"in": 1}, 1 * MS, {"in": OLD})
        await task.stop()

    run(scenario)


@pytest.mark.parametrize("records", [0, 5], ids=["empty", "longer than before"])
def test_a_topic_that_was_created_anew_halts_its_task_at_recovery(records: int) -> None:
    """Without the id as many records would be skipped as had been applied."""

    async def scenario() -> None:
        bench = Bench()
        bench.log.changelog = [(CHECKPOINT_KEY, encode_checkpoint(Checkpoint({"in": 3}, 1, {"in": OLD})))]
        bench.log.topic_id = {"in": NEW}
        for number in range(records):
            bench.log.append("in", 1, f"{number}")
        task = bench.start()
        await bench.settle()
        assert task.state is TaskState.HALTED
        assert "in was deleted and created anew" in task.reason
        assert "start anew" in task.reason, "it says what to do"
        assert bench.log.values() == []
        await task.stop()

    run(scenario)


def test_a_topic_that_is_created_anew_meanwhile_halts_its_task() -> None:
    async def scenario() -> None:
        bench = Bench()
        bench.log.topic_id = {"in": OLD}
        task = bench.start()
        await bench.settle()
        task.check_topics({"in": OLD, "other": NEW})
        await bench.settle()
        assert task.state is TaskState.RUNNING
        task.check_topics({"in": NEW})
        await bench.settle()
        assert task.state is TaskState.HALTED
        assert TopicRecreated.__name__ not in task.reason
        assert NEW.hex() in task.reason
        await task.stop()

    run(scenario)


def test_a_changelog_that_is_created_anew_meanwhile_halts_its_task() -> None:
    """What the task writes from then on would be taken for all of its state at the next start."""

    async def scenario() -> None:
        bench = Bench(app_id="sla")
        bench.log.topic_id = {"in": OLD, "changelog": OLD}
        task = bench.start()
        await bench.settle()
        task.check_topics({"in": OLD, "changelog": OLD})
        await bench.settle()
        assert task.state is TaskState.RUNNING
        task.check_topics({"in": OLD, "changelog": NEW})
        await bench.settle()
        assert task.state is TaskState.HALTED
        assert "changelog was deleted and created anew" in task.reason
        await task.stop()

    run(scenario)


def test_a_changelog_without_its_first_row_halts_its_task_and_nothing_is_written() -> None:
    """It was deleted under a running worker, which wrote on into the new one; or retention has deleted from it."""

    async def scenario() -> None:
        bench = Bench(app_id="sla")
        bench.log.topic_id = {"in": OLD}
        bench.log.append("in", 1, "a")
        task = bench.start()
        await bench.settle()
        await task.stop()
        bench.log.changelog = [row for row in bench.log.changelog if row[0] != OWNER_KEY]
        rows, bench.log.group = list(bench.log.changelog), {}
        again = bench.start()
        await bench.settle()
        assert again.state is TaskState.HALTED
        assert "the changelog has lost its first rows" in again.reason
        assert bench.log.changelog == rows
        await again.stop()

    run(scenario)


def test_a_broker_that_tells_no_ids_is_trusted_and_known_ids_are_kept() -> None:
    async def scenario() -> None:
        bench = Bench()
        bench.log.changelog = [(CHECKPOINT_KEY, encode_checkpoint(Checkpoint({"in": 0}, 0, {"in": OLD})))]
        bench.log.append("in", 1, "a")
        task = bench.start()
        await bench.settle()
        assert last_applied(bench.log).topic_ids == {"in": OLD}
        await task.stop()

    run(scenario)
