"""What the task relies on, asked of a log: the same questions to the fake broker and to a real one.

Each check is a coroutine that takes a `Rig`: a fresh deployment with one partition, its input `rig.topic` empty.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import pytest
from aiokafka.structs import TopicPartition

from streams.runtime.checkpoint import CHECKPOINT_KEY, Checkpoint, encode_checkpoint
from streams.runtime.errors import TaskFenced, TaskInterrupted
from streams.runtime.interfaces import Bounds, Write
from streams.runtime.kafka_log import KafkaLog, new_consumer
from streams.runtime.processor import Effects, Send
from streams.runtime.settings import RuntimeSettings
from streams.runtime.transactions import KafkaTransactions
from tests.waiting import TIMEOUT_S

AGENT = "desk"


class Rig(Protocol):
    """A broker, and how to write inputs to it."""

    settings: RuntimeSettings
    topic: str

    def log(self) -> KafkaLog:
        """The task's log as one more worker has it."""
        ...

    async def append(self, values: Sequence[bytes]) -> None:
        """Inputs outside any transaction."""
        ...

    async def begin(self, values: Sequence[bytes], topic: str | None = None) -> Callable[[bool], Awaitable[None]]:
        """Inputs, or records of a topic, in a transaction of another program that stays open until the answer is
        called: True commits it, False aborts it."""
        ...


def output(rig: Rig) -> str:
    """Where the checks write."""
    return f"{rig.settings.prefix}.out"


def write(rig: Rig, name: str, offset: int, rows: int = 1) -> Write:
    """One transaction: an output, changelog rows, offsets."""
    effects = Effects()
    effects.send(Send(output(rig), 0, b"k", name.encode(), [("h", b"1")]))
    for number in range(rows):
        effects.put(f"{name}-{number}".encode(), b"row")
    applied = encode_checkpoint(Checkpoint({rig.topic: offset}, 0))
    return Write(effects, applied, {rig.topic: offset}, 1_700_000_000_000)


async def half(transactions: KafkaTransactions, what: Write) -> None:
    """Write all but the commit, as a process that is killed then."""
    await transactions._producer.begin_transaction()
    await transactions._send(what)


async def read(rig: Rig, topic: str) -> list[bytes]:
    """All that is committed in a topic, to its end as of now."""
    where = TopicPartition(topic, 0)
    consumer = new_consumer(rig.settings)
    found: list[bytes] = []
    await consumer.start()
    try:
        consumer.assign([where])
        end = (await consumer.end_offsets([where]))[where]
        consumer.seek(where, 0)
        async with asyncio.timeout(TIMEOUT_S):
            while await consumer.position(where) < end:
                found += [each.value for each in (await consumer.getmany(where, timeout_ms=100)).get(where, ())]
    finally:
        await consumer.stop()
    return found


async def replayed(log: KafkaLog) -> list[bytes]:
    """The keys of the changelog, without the applied rows."""
    return [key async for chunk in _chunks(log) for key in chunk if key != CHECKPOINT_KEY]


async def _chunks(log: KafkaLog):  # type: ignore[no-untyped-def]  # an async generator of lists of keys
    async for chunk in log.replay():
        yield [key for key, _ in chunk]


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """A commit is decided before it is seen everywhere."""
    async with asyncio.timeout(TIMEOUT_S):
        while not await condition():
            await asyncio.sleep(0.02)


async def a_new_log_is_empty(rig: Rig) -> None:
    """Nothing committed, nothing to replay, bounds at zero."""
    log = rig.log()
    assert await replayed(log) == []
    assert await log.committed() == {}
    assert await log.bounds() == {rig.topic: Bounds(0, 0)}


async def a_commit_shows_outputs_rows_and_offsets(rig: Rig) -> None:
    """All of it, once the next owner has fenced."""
    log = rig.log()
    transactions = await log.fence()
    await transactions.commit(write(rig, "one", 1))
    await transactions.commit(write(rig, "two", 2))
    await transactions.discard()
    heir = rig.log()
    await (await heir.fence()).discard()
    assert await read(rig, output(rig)) == [b"one", b"two"]
    assert await replayed(heir) == [b"one-0", b"two-0"]
    assert await heir.committed() == {rig.topic: 2}


async def fencing_stops_the_former_owner(rig: Rig) -> None:
    """Its next commit leaves nothing and says why; the new owner's goes through."""
    zombie = await rig.log().fence()
    await zombie.commit(write(rig, "mine", 1))
    heir = await rig.log().fence()
    with pytest.raises(TaskFenced):
        await zombie.commit(write(rig, "zombie", 2))
    await zombie.discard()
    await heir.commit(write(rig, "heir", 2))
    await heir.discard()
    log = rig.log()
    await (await log.fence()).discard()
    assert await read(rig, output(rig)) == [b"mine", b"heir"]
    assert await replayed(log) == [b"mine-0", b"heir-0"]


async def fencing_settles_an_open_transaction(rig: Rig) -> None:
    """What was written without a commit is seen by nobody, before and after."""
    log = rig.log()
    dead = await log.fence()
    await half(dead, write(rig, "dead", 1))
    assert await read(rig, output(rig)) == []
    heir_log = rig.log()
    heir = await heir_log.fence()
    assert await replayed(heir_log) == []
    assert await heir_log.committed() == {}
    await heir.commit(write(rig, "heir", 1))
    await until(lambda: _equal(read(rig, output(rig)), [b"heir"]))
    await heir.discard()
    await dead.discard()
    assert await replayed(heir_log) == [b"heir-0"]


async def a_discard_ends_nothing_and_the_next_transaction_goes_through(rig: Rig) -> None:
    """The same worker starts again after an error."""
    log = rig.log()
    first = await log.fence()
    await half(first, write(rig, "half", 1))
    await first.discard()
    second = await log.fence()
    assert await log.committed() == {}
    await second.commit(write(rig, "whole", 1))
    await second.discard()
    await (await log.fence()).discard()
    assert await read(rig, output(rig)) == [b"whole"]
    assert await log.committed() == {rig.topic: 1}


async def the_changelog_is_read_to_its_end(rig: Rig) -> None:
    """Many rows, in order, past commit markers and what was aborted; the last commit is there after fencing."""
    log = rig.log()
    expected: list[bytes] = []
    for number in range(3):
        transactions = await log.fence()
        await transactions.commit(write(rig, f"t{number}", number, rows=200))
        expected += [f"t{number}-{row}".encode() for row in range(200)]
        await half(transactions, write(rig, "lost", number, rows=50))
        await transactions.discard()
    await (await log.fence()).discard()
    assert await replayed(log) == expected


async def rows_behind_a_transaction_of_another_program_are_missed(rig: Rig) -> None:
    """Without them a task would decide again what it has decided. A look at the first row does without."""
    log = rig.log()
    transactions = await log.fence()
    await transactions.commit(write(rig, "one", 1))
    finish = await rig.begin([b"alien"], rig.settings.changelog(AGENT))
    await transactions.commit(write(rig, "two", 2))
    await transactions.discard()
    await (await log.fence()).discard()
    with pytest.raises(TaskInterrupted, match=r"-0 can't be read from offset \d on: another program"):
        await replayed(log)
    assert [key async for rows in log.readable_rows() for key, _ in rows if key != CHECKPOINT_KEY] == [b"one-0"]
    await finish(False)
    await until(lambda: _equal(replayed(log), [b"one-0", b"two-0"]))


async def markers_and_aborted_inputs_take_offsets(rig: Rig) -> None:
    """The end is beyond the number of records that can be read."""
    await rig.append([b"a"])
    await (await rig.begin([b"b", b"c"]))(True)
    await (await rig.begin([b"x"]))(False)
    await rig.append([b"d"])
    log = rig.log()
    await until(lambda: _equal(log.bounds(), {rig.topic: Bounds(0, 7)}))  # a b c marker x marker d
    assert await log.ends() == {rig.topic: 7}
    assert await read(rig, rig.topic) == [b"a", b"b", b"c", b"d"]


async def an_open_transaction_holds_the_end_back(rig: Rig) -> None:
    """Also from records behind it that are in no transaction."""
    await rig.append([b"a"])
    finish = await rig.begin([b"b"])
    await rig.append([b"c"])
    log = rig.log()
    assert await log.ends() == {rig.topic: 1}
    assert await read(rig, rig.topic) == [b"a"]
    await finish(True)
    await until(lambda: _equal(log.ends(), {rig.topic: 4}))
    assert await read(rig, rig.topic) == [b"a", b"b", b"c"]


async def _equal(found: Awaitable[object], expected: object) -> bool:
    return await found == expected


CHECKS: Sequence[Callable[[Rig], Awaitable[None]]] = (
    a_new_log_is_empty,
    a_commit_shows_outputs_rows_and_offsets,
    fencing_stops_the_former_owner,
    fencing_settles_an_open_transaction,
    a_discard_ends_nothing_and_the_next_transaction_goes_through,
    the_changelog_is_read_to_its_end,
    rows_behind_a_transaction_of_another_program_are_missed,
    markers_and_aborted_inputs_take_offsets,
    an_open_transaction_holds_the_end_back,
)
