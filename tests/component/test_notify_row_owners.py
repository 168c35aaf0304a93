"""Rows of a notifier that was suspended or cut off: they have no effect once another has its partitions (ADR 33)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from random import Random  # noqa: TID251 -- seeded
from typing import Any

import pytest
from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.errors import CommitFailedError, KafkaConnectionError, OffsetMetadataTooLargeError
from aiokafka.structs import OffsetAndMetadata
from notify_bench import play

from connect.notify import group_membership
from connect.notify.destination_rows import DestinationRows
from connect.notify.message import Message
from connect.notify.page_store import PageStore
from connect.notify.page_store_rows import StateRow, pending_row
from connect.notify.row_claims import read_claims
from connect.notify.row_feed import RowFeed
from connect.notify.row_loading import RowLoading
from connect.notify.topic_ids import TopicIds
from streams.errors import SlaError
from streams.settings import read_settings
from tests.chaos.loop import Loop
from tests.standard_modules import altered

ALERTS, INCIDENTS, ROWS = (TopicPartition(f"sla.{each}", 0) for each in ("alerts", "incidents", "notifications"))
KEY = b"d\x1fpending\x1finc-1\x1f"


def waits(id_: str, name: str = "d") -> StateRow:
    return pending_row(name, "inc-1", Message(id_, "trigger", "response/1", {"id": id_, "data": {}}, 1, 1, 1))


def sent(id_: str) -> StateRow:
    return StateRow(KEY + id_.encode(), None)


class Cluster:
    """One partition of rows, and the offsets of one group."""

    def __init__(self) -> None:
        self.rows: list[Any] = []
        self.end = 0
        self.offsets: dict[TopicPartition, Any] = {ALERTS: 7, INCIDENTS: 8}
        self.assigned: Notifier | None = None
        self.topic_id = b"\1"
        self.takes_texts = True
        self.on_step: Callable[[int], None] = lambda _: None
        self.steps = 0

    def step(self) -> None:
        """Before each answer."""
        self.steps += 1
        self.on_step(self.steps)

    def append(self, row: StateRow, headers: Sequence[tuple[str, bytes]] | None) -> None:
        self.rows.append(ConsumerRecord(*ROWS, self.end, 0, 0, *row, 0, 0, 0, tuple(headers or ())))
        self.end += 1

    def compact(self) -> None:
        last = {each.key: each.offset for each in self.rows}
        self.rows = [each for each in self.rows if last[each.key] == each.offset]


class Notifier:
    """The Kafka clients of one connection of the destination `d`: consumer, producer, reader of rows."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.at = 0
        self.held: list[tuple[StateRow, Any]] | None = None
        """Rows on their way."""
        self.store = PageStore(read_settings(), "d", RowLoading(), topic_ids=TopicIds(self.ids))
        self.store.consumer = self.store._producer = self.store._metadata_consumer = self
        self.rows = DestinationRows("d", self.store, lambda *_: None, lambda _: False, None)

    async def load(self) -> set[str]:
        """The ids of the messages that wait, once the partitions are assigned to it."""
        self.cluster.assigned = self
        await self.store.start_new_partitions([ALERTS, INCIDENTS], earliest=False)
        stored = await self.rows.load([0])
        assert stored[0][0].unreadable == 0
        return {message.id for page in stored[0][0].pages() for message in page.pending}

    async def write(self, *rows: StateRow) -> None:
        await self.store.write(0, rows)

    def arrive(self) -> None:
        """What was on its way is written."""
        for each in self.held or ():
            self.cluster.append(*each)
        self.held = None

    async def late(self, *rows: StateRow) -> None:
        """Send rows that arrive later."""
        self.held = []
        writing = asyncio.create_task(self.write(*rows))
        while len(self.held) < len(rows):
            await asyncio.sleep(0)
        writing.cancel()

    # -- of Kafka's clients

    async def ids(self, names: Iterable[str]) -> dict[str, bytes]:
        return dict.fromkeys(names, self.cluster.topic_id)

    async def send(
        self, topic: str, *, key: bytes, value: bytes | None, partition: int, headers: Any
    ) -> asyncio.Future[None]:
        self.cluster.step()
        done = asyncio.get_running_loop().create_future()
        if self.held is None:
            self.cluster.append(StateRow(key, value), headers)
            done.set_result(None)
        else:
            self.held.append((StateRow(key, value), headers))
        return done

    @property
    def _coordinator(self) -> Notifier:
        return self

    async def fetch_committed_offsets(self, wheres: list[TopicPartition]) -> dict[TopicPartition, Any]:
        self.cluster.step()
        found = {where: self.cluster.offsets[where] for where in wheres if where in self.cluster.offsets}
        return {where: OffsetAndMetadata(*((at, "") if isinstance(at, int) else at)) for where, at in found.items()}

    async def commit(self, offsets: dict[TopicPartition, Any]) -> None:
        self.cluster.step()
        if self.cluster.assigned is not self:
            raise CommitFailedError
        if not self.cluster.takes_texts and any(not isinstance(each, int) for each in offsets.values()):
            raise OffsetMetadataTooLargeError
        self.cluster.offsets |= offsets

    def assign(self, _: object) -> None: ...

    def unsubscribe(self) -> None: ...

    async def end_offsets(self, wheres: list[TopicPartition]) -> dict[TopicPartition, int]:
        self.cluster.step()
        return dict.fromkeys(wheres, self.cluster.end)

    async def seek_to_beginning(self, *_: TopicPartition) -> None:
        self.at = 0

    async def getmany(self, **_: object) -> dict[TopicPartition, list[Any]]:
        self.cluster.step()
        found = [each for each in self.cluster.rows if each.offset >= self.at][:3]
        self.at = found[-1].offset + 1 if found else self.cluster.end
        return {ROWS: found}

    async def position(self, _: TopicPartition) -> int:
        return self.at


async def steps_until_over(happens_at: Callable[[int], Awaitable[bool]]) -> int:
    """How many answers of Kafka there are at which it can happen: it is tried at each."""
    steps = 0
    while await happens_at(steps + 1):
        steps += 1
    return steps


async def taken_over() -> tuple[Cluster, Notifier, Notifier]:
    """A former owner whose rows are on their way, and the next one, which has written since."""
    cluster = Cluster()
    former, owner = Notifier(cluster), Notifier(cluster)
    await former.load()
    await former.write(waits("e1"), waits("e2"), waits("e3"))
    await former.late(waits("e1"), sent("e2"), waits("e4"))
    assert await owner.load() == {"e1", "e2", "e3"}
    await owner.write(sent("e1"), waits("e5"))
    return cluster, former, owner


def test_a_late_row_of_a_former_owner_has_no_effect_also_once_the_topic_is_compacted() -> None:
    async def scenario() -> None:
        cluster, former, _ = await taken_over()
        former.arrive()
        for _ in range(2):
            assert await Notifier(cluster).load() == {"e2", "e3", "e5"}
            cluster.compact()

    play(scenario)


def test_a_late_row_that_arrives_while_the_next_owner_loads_counts_for_all_or_for_none() -> None:
    """At whatever answer of Kafka it arrives: what that owner has in memory is what those after it read."""

    async def arrives_at(step: int) -> bool:
        cluster, former, _ = await taken_over()
        begins = cluster.steps
        cluster.on_step = lambda now: former.arrive() if now == begins + step else None
        assert await Notifier(cluster).load() == {"e2", "e3", "e5"}, step
        if former.held is not None:
            return False
        for _ in range(2):  # where it has not read them it connects anew once it does
            assert await Notifier(cluster).load() == {"e2", "e3", "e5"}, step
            cluster.compact()
        return True

    async def scenario() -> None:
        assert await steps_until_over(arrives_at) > 4

    play(scenario)


def test_rows_of_the_latest_owner_count_as_long_as_nobody_has_claimed_its_partitions() -> None:
    """Whoever was killed while it loaded has changed nothing."""

    async def arrives_at(step: int) -> set[str]:
        cluster = Cluster()
        former = Notifier(cluster)
        await former.load()
        await former.write(waits("e1"))
        await former.late(waits("e2"))
        begins = cluster.steps

        def killed(now: int) -> None:
            if now == begins + step:
                former.arrive()
                raise KafkaConnectionError("killed")

        cluster.on_step = killed
        try:
            return await Notifier(cluster).load()
        except KafkaConnectionError:
            found = await Notifier(cluster).load()
            assert found == await Notifier(cluster).load()
            return found

    async def scenario() -> None:
        found = [await arrives_at(step) for step in range(1, 8)]
        assert found[0] == {"e1", "e2"}
        assert found[-1] == {"e1"}, "it was loaded before"

    play(scenario)


def test_a_repair_that_is_cut_short_is_done_by_the_next_owner() -> None:
    async def killed_at(step: int) -> bool:
        cluster, former, _ = await taken_over()
        former.arrive()
        begins = cluster.steps

        def kill(now: int) -> None:
            if now == begins + step:
                raise KafkaConnectionError("killed")

        cluster.on_step = kill
        try:
            await Notifier(cluster).load()
        except KafkaConnectionError:
            for _ in range(3):
                assert await Notifier(cluster).load() == {"e2", "e3", "e5"}, step
                cluster.compact()
            return True
        return False

    async def scenario() -> None:
        assert await steps_until_over(killed_at) > 9

    play(scenario)


def test_once_late_rows_are_repaired_the_claims_of_before_are_forgotten() -> None:
    """Texts of commits would grow with each of them."""

    async def scenario() -> None:
        cluster, former, _ = await taken_over()
        former.arrive()
        owner = Notifier(cluster)
        await owner.load()
        found = read_claims(cluster.offsets[ALERTS][1])
        assert [each.owner for each in found.claims] == [owner.store.member.owner]

    play(scenario)


def test_a_row_that_is_written_while_partitions_are_loaded_has_no_effect() -> None:
    """As one that discards parked messages: it was begun when the partitions were others."""

    async def scenario() -> None:
        cluster, former, _ = await taken_over()
        former.held = None
        cluster.assigned = former
        await former.store.start_new_partitions([ALERTS, INCIDENTS], earliest=False)
        await former.write(sent("e2"))
        for _ in range(2):
            assert await Notifier(cluster).load() == {"e2", "e3", "e5"}
            cluster.compact()

    play(scenario)


def test_late_rows_of_several_owners_have_no_effect_whatever_their_order() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        owners = [Notifier(cluster) for _ in range(4)]
        for number, each in enumerate(owners):
            await each.load()
            await each.write(waits(f"e{number}"))
            if each is not owners[-1]:
                await each.late(*(sent(f"e{other}") for other in range(4)))
        for each in (owners[2], owners[0], owners[1]):
            each.arrive()
        await owners[3].write(waits("e9"))
        for _ in range(2):
            assert await Notifier(cluster).load() == {"e0", "e1", "e2", "e3", "e9"}
            cluster.compact()

    play(scenario)


def test_rows_of_operators_of_other_destinations_and_of_releases_before_always_count() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        owner = Notifier(cluster)
        await owner.load()
        cluster.append(waits("e1"), None)
        await owner.write(waits("e2"), waits("e3", "another"))
        assert [bool(each.headers) for each in cluster.rows] == [False, True, False]
        assert await Notifier(cluster).load() == {"e1", "e2"}

    play(scenario)


def test_claims_are_of_one_topic_of_rows() -> None:
    """As after `sla topics restore`, or with another cluster behind the name."""

    async def scenario() -> None:
        cluster, former, _ = await taken_over()
        former.arrive()
        cluster.topic_id = b"\2"
        assert await Notifier(cluster).load() == {"e1", "e3", "e4", "e5"}

    play(scenario)


def test_where_kafka_takes_no_texts_all_rows_count() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        cluster.takes_texts = False
        former = Notifier(cluster)
        await former.load()
        await former.late(waits("e1"))
        await Notifier(cluster).load()
        former.arrive()
        assert await Notifier(cluster).load() == {"e1"}
        assert cluster.offsets == {ALERTS: 7, INCIDENTS: 8}

    play(scenario)


def test_an_answer_to_a_commit_of_before_changes_nothing_that_was_loaded_since() -> None:
    """It was on its way when partitions were assigned: the claims and offsets of then are no longer its own."""

    async def scenario() -> None:
        cluster = Cluster()
        former = Notifier(cluster)
        await former.load()
        answered, kafka = asyncio.Event(), former.commit

        async def slow(offsets: dict[TopicPartition, Any]) -> None:
            await kafka(offsets)
            former.commit = kafka  # type: ignore[method-assign]
            await answered.wait()

        former.commit = slow  # type: ignore[method-assign]
        committing = asyncio.create_task(former.store.commit({ALERTS: (9, "{}")}))
        await asyncio.sleep(0)
        owner = Notifier(cluster)
        await owner.load()
        await owner.write(waits("e1"))
        await owner.store.commit({ALERTS: (17, "{}")})
        cluster.assigned = former
        await former.store.start_new_partitions([ALERTS, INCIDENTS], earliest=False)
        answered.set()
        await committing
        assert former.store.member.claims[0].claims[-1].owner == owner.store.member.owner
        await former.rows.load([0])
        await former.store.commit({INCIDENTS: (19, "{}")})
        assert cluster.offsets[ALERTS][0] == 17

    play(scenario)


def test_a_connection_that_is_assigned_partitions_again_is_another_owner() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        first, second = Notifier(cluster), Notifier(cluster)
        await first.load()
        await first.late(waits("e1"))
        before = first.store.member.owner
        await second.load()
        first.arrive()
        assert await first.load() == set()
        assert first.store.member.owner != before
        await first.write(waits("e2"))
        for _ in range(2):
            assert await second.load() == {"e2"}
            cluster.compact()

    play(scenario)


def test_a_commit_of_a_member_that_was_replaced_without_its_knowledge_takes_back_alerts_and_closings() -> None:
    """Kafka takes it where nobody is in the group any more: what it has in memory is of its own offsets."""

    async def scenario() -> None:
        cluster, former, owner = await taken_over()
        await owner.store.commit({ALERTS: (17, "{}"), INCIDENTS: (18, "{}")})
        cluster.assigned = former
        former.arrive()
        await former.store.commit({ALERTS: (9, "{}")})
        assert cluster.offsets[ALERTS][0] == 9
        assert cluster.offsets[INCIDENTS] == 8
        assert await Notifier(cluster).load() == {"e1", "e3", "e4"}

    play(scenario)


def test_nothing_is_written_or_sent_by_a_process_that_may_have_been_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was suspended, with its machine: the clock of the loop stands still meanwhile. As long as it is a member, it
    goes on."""
    now = 0.0
    clocks = altered(time, CLOCK_BOOTTIME=7, clock_gettime=lambda clock: now if clock == 7 else 0.0)
    monkeypatch.setattr(group_membership, "time", clocks)

    async def scenario() -> None:
        nonlocal now
        cluster = Cluster()
        former = Notifier(cluster)
        await former.write()  # without partitions there is nothing to prove
        await former.load()
        steps = cluster.steps
        now += 5.0
        await former.write(waits("e1"))
        assert cluster.steps == steps + 1, "it has committed not long ago"
        now += 5.0
        await former.write()
        assert cluster.steps == steps + 2, "it still is a member"
        for _ in range(3):
            await former.write()
        assert cluster.steps == steps + 2
        await Notifier(cluster).load()
        now += 5.1
        for write in (former.write(waits("e2")), former.write(), former.store.append(0, [waits("e3", "another")])):
            with pytest.raises(SlaError, match="another notifier may have the partitions of group sla-notify-d"):
                await write
        assert len(cluster.rows) == 1

    play(scenario)


def test_rows_that_kafka_took_after_the_member_was_replaced_are_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """What follows from them would be sent, by a process that has lost the partition."""
    now = 0.0
    monkeypatch.setattr(group_membership, "seconds_with_suspension", lambda: now)

    async def scenario() -> None:
        cluster = Cluster()
        former = Notifier(cluster)
        await former.load()
        send = former.send

        async def slow(topic: str, **given: Any) -> asyncio.Future[None]:
            nonlocal now
            taken = await send(topic, **given)
            now += 5.1
            cluster.assigned = None
            return taken

        former.send = slow  # type: ignore[method-assign]
        with pytest.raises(SlaError, match="another notifier may have"):
            await former.write(waits("e1"))

    play(scenario)


def in_virtual_time(scenario: Callable[[], Coroutine[Any, Any, None]], monkeypatch: pytest.MonkeyPatch) -> None:
    loop = Loop(Random(1))
    monkeypatch.setattr(group_membership, "seconds_with_suspension", loop.time)
    loop.run(scenario())


def test_rows_that_kafka_is_slow_to_take_are_waited_for_while_the_group_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As with a quota: a worker that connects anew would send again what is in flight, and be as slow."""

    async def scenario() -> None:
        cluster = Cluster()
        former = Notifier(cluster)
        await former.load()
        former.held = []
        writing = asyncio.create_task(former.write(waits("e1"), waits("e2")))
        await asyncio.sleep(60)
        assert not writing.done()
        cluster.assigned = None
        await asyncio.sleep(5.1)
        with pytest.raises(SlaError, match="another notifier may have"):
            await writing

    in_virtual_time(scenario, monkeypatch)


def test_a_connection_of_which_kafka_takes_neither_rows_nor_offsets_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        cluster = Cluster()
        former = Notifier(cluster)
        await former.load()
        former.held = []
        writing = asyncio.create_task(former.write(waits("e1")))

        async def silent(_: object) -> None:
            await asyncio.Event().wait()

        monkeypatch.setattr(former, "commit", silent)
        await asyncio.sleep(34)
        assert not writing.done()
        await asyncio.sleep(2)
        with pytest.raises(SlaError, match="not taken the offsets of group sla-notify-d for 30 s"):
            await writing

    in_virtual_time(scenario, monkeypatch)


def test_a_late_row_makes_the_owner_read_its_rows_again() -> None:
    """Compaction would keep it, and delete the row that counts."""

    async def scenario() -> None:
        cluster, former, owner = await taken_over()
        feed = RowFeed("sla", lambda: None)
        feed._started.set()
        owner = Notifier(cluster)
        owner.rows = DestinationRows("d", owner.store, lambda *_: None, lambda _: False, feed)
        await owner.load()
        await owner.write(waits("e6"))
        await feed.put(cluster.rows)
        assert not owner.rows.take(1), "what was written before it loaded is no matter"
        former.arrive()
        await feed.put(cluster.rows)
        with pytest.raises(SlaError, match="wrote a row late"):
            owner.rows.take(1)
        with pytest.raises(SlaError, match="wrote a row late"):  # also where more came than are kept
            await owner.rows.read_again()
        after = Notifier(cluster)
        after.rows = DestinationRows("d", after.store, lambda *_: None, lambda _: False, feed)
        assert await after.load() == {"e2", "e3", "e5", "e6"}
        await feed.put(cluster.rows)
        assert not after.rows.take(1)

    play(scenario)


def test_rows_of_a_partition_whose_alerts_another_has_are_not_late() -> None:
    """A program in the group that reads alerts only: then another notifier may write these rows. Whoever connects anew
    for each of them would deliver nothing of its own partitions either."""

    async def scenario() -> None:
        cluster = Cluster()
        feed = RowFeed("sla", lambda: None)
        feed._started.set()
        writer, reader = Notifier(cluster), Notifier(cluster)
        await writer.load()
        reader.rows = DestinationRows("d", reader.store, lambda *_: None, lambda _: False, feed)
        await reader.store.start_new_partitions([], earliest=False)
        await reader.rows.load([0])
        await writer.write(waits("e1"))
        await feed.put(cluster.rows)
        assert not reader.rows.take(1)

    play(scenario)
