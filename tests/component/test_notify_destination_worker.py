"""A destination worker over fake connections: it reconnects after every failure, and stops when cancelled."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import pytest
from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaTimeoutError,
    NotEnoughReplicasError,
    OffsetMetadataTooLargeError,
)
from aiokafka.structs import OffsetAndMetadata, OffsetAndTimestamp
from notify_bench import HandClock, Script, destination, play
from notify_desk import OnlyMember
from structlog.testing import capture_logs

from connect.notify import destination_worker, group_membership, page_store, row_loading
from connect.notify.destination_worker import DestinationWorker
from connect.notify.destination_workers import DestinationWorkers
from connect.notify.destinations.kind import MASKED
from connect.notify.message import Message
from connect.notify.metrics import NotifyMetrics
from connect.notify.page import Page
from connect.notify.page_store import PageStore
from connect.notify.page_store_rows import StateRow, StoredPages, changes, pending_row
from connect.notify.read_positions import Committed
from connect.notify.routing.loaded import LoadedRouting, RoutingInForce
from connect.notify.routing.rules import Match, Route, Routing
from connect.notify.row_loading import RowLoading
from connect.notify.topic_ids import TopicIds
from streams.errors import SlaError
from streams.kafka import aiokafka_clients
from streams.serde.codec import Codec
from streams.settings import read_settings
from tests.page_triggers import trigger
from tests.waiting import until


class Connection:
    """A PageStore that fails as the test says, or has nothing to read."""

    def __init__(self, failure: BaseException | None, *, at_start: bool) -> None:
        self.failure = failure
        self.at_start = at_start
        self.consumer = self
        self.member = OnlyMember()
        self.stopped = False

    def topic(self, suffix: str) -> str:
        return suffix

    async def start(self, reader: Any) -> None:
        if self.failure is not None and self.at_start:
            raise self.failure
        await reader.on_partitions_assigned([])

    async def stop(self) -> None:
        self.stopped = True

    async def getmany(self, **_: object) -> dict[Any, Any]:
        await asyncio.sleep(0.001)
        if self.failure is not None:
            raise self.failure
        return {}

    async def start_new_partitions(self, *_: object, **__: object) -> Committed:
        return Committed({}, {})

    def deleted_topic(self) -> None: ...

    async def stored_pages(self, *_: object) -> dict[Any, Any]:
        return {}

    async def alert_ends(self) -> dict[int, int]:
        return {}

    async def has_begun(self) -> bool:
        return True

    async def known_starts(self, *_: object) -> dict[Any, Any]:
        return {}

    async def known_ends(self, *_: object) -> dict[Any, Any]:
        return {}

    async def commit(self, _: object) -> None: ...

    def assignment(self) -> set[Any]:
        return set()

    paused = assignment

    def pause(self, *_: object) -> None: ...

    resume = pause


class RowsReader:
    """A consumer of the rows, of which `reading` counts those that read at the moment."""

    def __init__(self, reading: list[int], rows: list[Any]) -> None:
        self._reading = reading
        self._rows = rows
        self._position = 0

    def assign(self, partitions: list[TopicPartition]) -> None:
        self._reading[0] += 1
        self._reading[1] = max(self._reading)

    def unsubscribe(self) -> None:
        self._reading[0] -= 1

    async def end_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, len(self._rows))

    async def seek_to_beginning(self, *_: TopicPartition) -> None:
        await asyncio.sleep(0)

    async def getmany(self, **_: object) -> dict[TopicPartition, list[Any]]:
        self._position = len(self._rows)
        return {TopicPartition("sla.notifications", 0): self._rows}

    async def position(self, _: TopicPartition) -> int:
        return self._position


def test_one_reading_of_the_rows_serves_all_destinations_that_wait_and_lets_others_run_meanwhile() -> None:
    """Each would read the rows of all. Thirty that did so held the loop up so long that all connected anew."""
    names = [f"hook-{number}" for number in range(6)]
    message = Message("e1", "trigger", "response/1", {"id": "e1", "data": {}}, 1, 1, 1)
    given = [pending_row(name, f"inc-{number}", message._replace(id=f"e{number}"))
             for number in range(400) for name in names]  # fmt: skip
    given += [pending_row("former", "inc-1", message), StateRow(b"rubbish", b"")]
    rows = [ConsumerRecord("", 0, 0, 0, 0, row.key, row.value, 0, 0, 0, ()) for row in given]
    reading, readings, turns = [0, 0], 0, 0
    heard = dict.fromkeys(names, 0)

    class Counted(RowsReader):
        async def getmany(self, **_: object) -> dict[TopicPartition, list[Any]]:
            nonlocal readings
            readings += 1
            if failing and readings == 1:
                raise KafkaConnectionError("away")
            return await super().getmany()

    async def other_work(done: asyncio.Event) -> None:
        nonlocal turns
        while not done.is_set():
            turns += 1
            await asyncio.sleep(0)

    async def scenario() -> list[Any]:
        loading, done = RowLoading(), asyncio.Event()
        stores = {name: PageStore(read_settings(), name, loading) for name in names}
        for store in stores.values():
            store._metadata_consumer = Counted(reading, rows)

        async def load(name: str) -> Any:
            def on_row(*_: object) -> None:
                heard[name] += 1

            return await stores[name].stored_pages(
                [0], name, on_row, lambda other: (name, other) == ("hook-5", "former")
            )

        other = asyncio.create_task(other_work(done))
        found = await asyncio.gather(*map(load, names), return_exceptions=True)
        done.set()
        await other
        return found

    failing = False
    found = asyncio.run(scenario())
    assert [(len(list(pages[0][0].pages())), pages[0][0].unreadable, pages[0][1]) for pages in found] == [
        (400, 1, 2_402)
    ] * 6
    assert heard == dict.fromkeys(names, 401) | {"hook-5": 402}
    assert (reading[1], readings) == (1, 2)  # of the first alone, then of the five that had come meanwhile
    assert turns >= 2_402 / 200

    failing, readings = True, 0
    found = asyncio.run(scenario())
    assert [type(each).__name__ for each in found] == ["KafkaConnectionError", *["dict"] * 5]


def test_a_connection_that_gives_no_rows_hands_over_and_two_of_them_end_the_wait_of_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The one that read for all kept them waiting for as long as its fetches timed out."""
    monkeypatch.setattr(row_loading, "STALLED_S", 0.02)
    message = Message("e1", "trigger", "response/1", {"id": "e1", "data": {}}, 1, 1, 1)
    row = pending_row("hook-0", "inc-1", message)
    rows = [ConsumerRecord("", 0, 0, 0, 0, row.key, row.value, 0, 0, 0, ())]

    class Silent(RowsReader):
        async def getmany(self, **_: object) -> dict[TopicPartition, list[Any]]:
            await asyncio.sleep(0.001)
            return {}

    class Hanging(RowsReader):
        async def position(self, _: TopicPartition) -> int:
            return await asyncio.Event().wait()

    async def scenario(*readers: type[RowsReader]) -> list[Any]:
        loading = RowLoading()

        async def load(number: int, reader: type[RowsReader]) -> Any:
            def ignored(*_: object) -> None: ...

            consumer = reader([0, 0], rows)
            return await loading.read(
                consumer, "sla.notifications", [0], f"hook-{number}", ignored, lambda _: False, {}
            )

        return await asyncio.gather(*(load(*each) for each in enumerate(readers)), return_exceptions=True)

    stalled = "Kafka gave no rows of sla.notifications for 0.02 s while they were read back (partition 0 at 0 of 1)"
    for stuck in (Silent, Hanging):
        found = asyncio.run(scenario(stuck, RowsReader, RowsReader, stuck))
        assert [str(each) if isinstance(each, SlaError) else type(each).__name__ for each in found] == [
            stalled, *["dict"] * 3,
        ]  # fmt: skip
        found = asyncio.run(scenario(stuck, stuck, RowsReader, RowsReader))
        assert [str(each) for each in found] == [stalled] * 4


@pytest.mark.parametrize("at_start", [True, False], ids=["connecting", "reading"])
@pytest.mark.parametrize(
    "failure",
    [
        KafkaConnectionError("away"),
        OSError("away"),
        SlaError("there is no topic sla.alerts"),
        ZeroDivisionError(),
        asyncio.CancelledError(),  # aiokafka lets those of its own tasks out
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_worker_outlives_its_connections(
    monkeypatch: pytest.MonkeyPatch, failure: BaseException, at_start: bool
) -> None:
    monkeypatch.setattr(destination_worker, "_RECONNECT_S", 0.01)

    async def scenario() -> None:
        made = [Connection(failure, at_start=at_start), Connection(None, at_start=True)]
        left = list(made)
        to, clock = destination("webhook"), HandClock()
        routing = RoutingInForce(Routing({"d": to}, (Route(Match(), ("d",)),)))

        def connect(_: str) -> Any:
            return left.pop(0)

        tested = DestinationWorker(to, routing, Script(clock), connect, clock, NotifyMetrics(), Codec())
        assert tested.failure == "not connected to Kafka yet"
        running = asyncio.create_task(tested.run())
        await until(lambda: not left and tested.failure is None)
        assert made[0].stopped
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert made[1].stopped

    play(scenario)


def test_a_failure_that_comes_back_at_each_reconnect_has_one_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(destination_worker, "_RECONNECT_S", 0.001)

    async def scenario() -> None:
        made = list[Connection]()

        def connect(_: str) -> Any:
            made.append(Connection(ZeroDivisionError(), at_start=True))
            return made[-1]

        to, clock = destination("webhook"), HandClock()
        routing = RoutingInForce(Routing({"d": to}, (Route(Match(), ("d",)),)))
        tested = DestinationWorker(to, routing, Script(clock), connect, clock, NotifyMetrics(), Codec())
        with capture_logs() as logs:
            running = asyncio.create_task(tested.run())
            await until(lambda: len(made) > 10)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        tracebacks = [each for each in logs if each["event"] == "destination_worker_failed"]
        assert [(each["destination"], each["left_out"]) for each in tracebacks] == [("d", 0)]

    play(scenario)


class RefusingConnection(Connection):
    """Kafka takes no rows while it `refuses`; a webhook waits in one partition of two."""

    def __init__(self, state: dict[str, Any]) -> None:
        super().__init__(None, at_start=True)
        self.state = state

    async def start(self, reader: Any) -> None:
        self.state["connections"] += 1
        topics = ("alerts", "incidents", "notifications")
        await reader.on_partitions_assigned([TopicPartition(topic, each) for topic in topics for each in (0, 1)])

    async def stored_pages(self, *given: Any) -> dict[Any, Any]:
        partitions, name, *_ = given
        found = {each: (StoredPages(name), 0) for each in partitions}
        if not self.state["delivered"]:
            page = Page("inc-1").apply(trigger("breached"), destination("webhook"), 0, busy=False)
            for row in changes(name, None, page):
                found[0][0].read(row.key, row.value)
        return found

    async def write(self, partition: int, rows: Any) -> None:
        given = list(rows)
        if given and self.state["refuses"]:
            raise NotEnoughReplicasError
        self.state["delivered"] |= any(b"pending" in row.key and row.value is None for row in given)
        self.state["rows"] += [(partition, row.key) for row in given]

    def seek(self, *_: object) -> None: ...


def test_nothing_is_sent_again_while_kafka_refuses_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk, or a permission withdrawn: what was sent can't be written, and was sent at each reconnect."""
    monkeypatch.setattr(destination_worker, "_RECONNECT_S", 0.001)

    async def scenario() -> None:
        state: dict[str, Any] = {"connections": 0, "delivered": False, "refuses": True, "rows": []}
        to, clock = destination("webhook"), HandClock()
        routing = RoutingInForce(Routing({"d": to}, (Route(Match(), ("d",)),)))
        sender = Script(clock)

        def connect(_: str) -> Any:
            return RefusingConnection(state)

        tested = DestinationWorker(to, routing, sender, connect, clock, NotifyMetrics(), Codec())
        running = asyncio.create_task(tested.run())
        await until(lambda: state["connections"] > 10)
        assert len(sender.heard) == 1
        assert tested.failure is not None
        state["refuses"] = False
        await until(lambda: state["delivered"] and tested.failure is None)
        assert len(sender.heard) == 2
        assert {partition for partition, _ in state["rows"]} == {0, 1}, "each partition has a disk of its own"
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    play(scenario)


def test_a_worker_reads_back_once_the_topic_of_rows_has_another_id_and_stays_a_member() -> None:
    """Others would take its partitions over, and load them without what only this worker knows."""

    async def scenario() -> None:
        made, ids = list[Connection](), [b"1"]
        to, clock = destination("webhook"), HandClock()
        routing = RoutingInForce(Routing({"d": to}, (Route(Match(), ("d",)),)))

        def connect(_: str) -> Any:
            made.append(Connection(None, at_start=True))
            return made[-1]

        async def rows_id() -> bytes:
            return ids[-1]

        tested = DestinationWorker(
            to, routing, Script(clock), connect, clock, NotifyMetrics(), Codec(), rows_id=rows_id
        )
        running = asyncio.create_task(tested.run())
        await until(lambda: tested._retained.topic_id == b"1")
        ids.append(b"2")
        tested.rows_made_anew(b"2")
        await until(lambda: tested._retained.topic_id == b"2")
        tested.rows_made_anew(b"2")  # it has read that one
        assert not tested._rows_lost.is_set()
        assert (len(made), made[0].stopped, tested.failure) == (1, False, None)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    play(scenario)


class GroupOffsets:
    """A consumer with the committed offsets of its group; each topic has the offsets 5 to 9."""

    def __init__(self, **committed: int) -> None:
        self.offsets: dict[TopicPartition, Any] = {TopicPartition(name, 0): at for name, at in committed.items()}
        self.at = dict[TopicPartition, int]()
        self.longest_text = 4_096

    @property
    def _coordinator(self) -> GroupOffsets:
        return self

    async def fetch_committed_offsets(self, wheres: list[TopicPartition]) -> dict[TopicPartition, OffsetAndMetadata]:
        known = {where: self.offsets[where] for where in wheres if where in self.offsets}
        return {
            where: OffsetAndMetadata(at, "") if isinstance(at, int) else OffsetAndMetadata(*at)
            for where, at in known.items()
        }

    async def beginning_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, 5)

    async def end_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, 9)

    def seek(self, where: TopicPartition, offset: int) -> None:
        self.at[where] = offset

    async def commit(self, offsets: dict[TopicPartition, Any]) -> None:
        if any(not isinstance(at, int) and len(at[1]) > self.longest_text for at in offsets.values()):
            raise OffsetMetadataTooLargeError
        self.offsets |= offsets


def test_a_group_is_told_which_topics_its_offsets_are_of() -> None:
    alerts, incidents = TopicPartition("alerts", 0), TopicPartition("incidents", 0)
    answers: list[dict[str, bytes] | None] = [{"alerts": b"1", "incidents": b"\0"}, *[None] * 7, {"alerts": b"2"}]

    async def ask(names: Any) -> dict[str, bytes]:
        assert set(names) == {"alerts", "incidents", "sla.notifications"}
        if (answer := answers.pop(0)) is None:
            raise SlaError("no answer")
        return answer

    async def scenario() -> None:
        store = PageStore(read_settings(), "group", RowLoading(), topic_ids=TopicIds(ask))
        store.consumer = GroupOffsets(alerts=7, incidents=8)

        async def begin() -> Committed:
            return await store.start_new_partitions([alerts, incidents], earliest=False)

        assert await begin() == ({alerts: "", incidents: ""}, {"alerts": b"1"}, {alerts: 7, incidents: 8})
        assert (await begin())[:2] == ({alerts: "", incidents: ""}, {}), "nothing is to be compared"
        assert await store.commit({alerts: (9, "text")})
        for _ in range(4):
            with pytest.raises(SlaError, match="no answer"):
                await begin()
        for ids in ({}, {}, {"alerts": b"2"}):  # alerts are not held up for good
            assert await begin() == ({alerts: "text", incidents: ""}, ids, {alerts: 9, incidents: 8})
        store.consumer.longest_text = 0
        assert await store.commit({alerts: (11, "text"), incidents: 9})
        assert store.consumer.offsets == {alerts: 11, incidents: 9}

    play(scenario)


def test_a_destination_has_begun_once_its_group_has_an_offset_in_every_partition() -> None:
    async def scenario() -> None:
        store = PageStore(read_settings(), "group", RowLoading())
        with pytest.raises(SlaError, match="not known yet"):
            await store.has_begun()
        store.consumer = GroupOffsets()
        store.consumer.partitions_for_topic = lambda topic: {0, 1}
        first, second = (TopicPartition(store.topic("alerts"), each) for each in (0, 1))
        assert not await store.has_begun()
        store.consumer.offsets[first] = 7
        assert not await store.has_begun(), "the other one is another notifier's, which has not committed yet"
        store.consumer.offsets[second] = 0, "text"
        assert await store.has_begun()

    play(scenario)


def test_a_topic_that_was_made_anew_is_read_from_its_beginning_and_a_new_destination_from_the_end() -> None:
    """Kafka deletes the offsets of a topic with it. The group looked like one of a new destination, and skipped what
    had been written to the new topic before it joined."""
    alerts, incidents = TopicPartition("alerts", 0), TopicPartition("incidents", 0)

    async def begin(begun: set[TopicPartition], *, earliest: bool = False, **committed: int) -> Any:
        store = PageStore(read_settings(), "group", RowLoading(), begun)
        store.consumer = GroupOffsets(**committed)
        await store.start_new_partitions([alerts, incidents], earliest=earliest)
        return store.consumer.at

    async def scenario() -> None:
        begun = set[TopicPartition]()
        assert await begin(begun) == {alerts: 9, incidents: 9}
        assert await begin(begun, alerts=7, incidents=8) == {}
        with capture_logs() as logs:
            assert await begin(begun) == {alerts: 5, incidents: 5}
            assert await begin(set(), incidents=8) == {alerts: 5}, "a new process knows it by the other topic"
            assert await begin(set(), alerts=8) == {incidents: 5}
        assert [log["partitions"] for log in logs][1:] == [["alerts/0"], ["incidents/0"]]
        assert await begin(set(), earliest=True) == {alerts: 5, incidents: 5}

    play(scenario)


def test_the_ends_of_partitions_are_known_although_nobody_leads_one_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kafka's client tells none of them then, after ten seconds."""
    monkeypatch.setattr(page_store, "_ANSWER_S", 0.01)
    places = [TopicPartition("alerts", each) for each in range(3)]

    class Ends:
        leaderless = frozenset[TopicPartition]()
        asked = 0
        hang = True

        async def end_offsets(self, wheres: list[TopicPartition]) -> dict[TopicPartition, int]:
            self.asked += 1
            if self.leaderless.intersection(wheres):
                if len(wheres) == 1 and self.hang:
                    await asyncio.Event().wait()
                raise KafkaTimeoutError
            return dict.fromkeys(wheres, 7)

        async def offsets_for_times(self, times: dict[TopicPartition, int]) -> dict[TopicPartition, Any]:
            await self.end_offsets(list(times))
            return {where: OffsetAndTimestamp(4, 6) if where.partition == 1 else None for where in times}

    async def scenario() -> None:
        store = PageStore(read_settings(), "group", RowLoading())
        ends = store._metadata_consumer = store.consumer = Ends()
        assert await store.known_ends(places) == dict.fromkeys(places, 7)
        ends.leaderless = frozenset(places[:1])
        for ends.hang in (True, False):
            assert await store.known_ends(places) == dict.fromkeys(places[1:], 7)
        asked = ends.asked
        assert [await store.known_end(each) for each in places] == [None, 7, 7]
        assert ends.asked == asked + 2
        ends.leaderless = frozenset(places)
        assert await store.known_end(places[2]) is None
        with pytest.raises(KafkaTimeoutError):
            await store.known_ends(places)
        ends.leaderless = frozenset()
        await store.known_ends(places)
        assert await store.known_end(places[0]) == 7
        assert [await store.known_first(each, 5) for each in places] == [7, 4, 7]
        ends.leaderless, ends.hang = frozenset(places[1:]), True
        assert await store.known_end(places[1]) is None, "alerts of others wait for it"
        assert await store.known_first(places[2], 5) is None
        asked = ends.asked
        assert await store.known_end(places[2]) is None
        assert ends.asked == asked

    play(scenario)


def test_offsets_that_kafka_does_not_take_end_the_connection_and_nothing_is_sent_before_it_takes_some(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its client tried for ever, and nobody knew that nothing was read any more."""
    monkeypatch.setattr(group_membership, "_COMMIT_S", 0.01)
    alerts, incidents = TopicPartition("sla.alerts", 0), TopicPartition("sla.incidents", 0)

    class Hanging(GroupOffsets):
        hangs = True

        async def commit(self, offsets: dict[TopicPartition, Any]) -> None:
            if self.hangs:
                await asyncio.Event().wait()
            await super().commit(offsets)

    async def scenario() -> None:
        store = PageStore(read_settings(), "d", RowLoading())
        store.consumer = consumer = Hanging(**{"sla.alerts": 7})
        told = "Kafka has not taken the offsets of group sla-notify-d for 0.01 s"
        with pytest.raises(SlaError, match=told):
            await store.commit({alerts: 8})
        with pytest.raises(SlaError, match=told):
            await store.start_new_partitions([alerts, incidents], earliest=False)
        consumer.hangs = False
        await store.start_new_partitions([alerts, incidents], earliest=False)
        assert consumer.offsets == {alerts: 7, incidents: 5}
        consumer.hangs = True
        with pytest.raises(SlaError, match=told):
            await store.member.claim({0: 3}, [])

    play(scenario)


def test_a_topic_without_partitions_was_deleted() -> None:
    """As long as Kafka knows all three, a member may have none of a topic: other members have them."""

    class Member:
        known: ClassVar = {"sla.alerts": {0}, "sla.incidents": {0}, "sla.notifications": {0}}

        def partitions_for_topic(self, topic: str) -> set[int] | None:
            return self.known.get(topic)

    async def scenario() -> None:
        store = PageStore(read_settings(), "group", RowLoading())
        store.consumer = Member()
        assert store.deleted_topic() is None
        del Member.known["sla.incidents"]
        assert store.deleted_topic() == "sla.incidents"

    play(scenario)


def test_what_a_destination_fetches_and_has_not_looked_at_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each partition, for each destination: a hundred of them with a backlog held 400 MB."""
    fetched = dict[object, object]()

    class Client:
        @property
        def client(self) -> Client:
            return self

        async def send(self, *_: object) -> None: ...

        async def start(self) -> None: ...

        async def stop(self) -> None: ...

        async def topics(self) -> set[str]:
            return {"sla.alerts", "sla.incidents", "sla.notifications"}

        def subscribe(self, *_: object, **__: object) -> None: ...

    def consumer(*_: object, **options: object) -> Client:
        fetched[options["group_id"]] = options["max_partition_fetch_bytes"]
        return Client()

    monkeypatch.setattr(aiokafka_clients, "consumer", consumer)
    monkeypatch.setattr(aiokafka_clients, "idempotent_producer", lambda *_, **__: Client())

    async def scenario() -> None:
        store = PageStore(read_settings(), "group", RowLoading())
        await store.start(None)
        await store.stop()
        assert fetched == {None: 512 * 1024, "sla-notify-group": 64 * 1024}

    play(scenario)


class StoppingConnection(Connection):
    """Kafka answers a stop only when the test says so."""

    def __init__(self) -> None:
        super().__init__(None, at_start=True)
        self.stopping = asyncio.Event()
        self.may_stop = asyncio.Event()

    async def stop(self) -> None:
        self.stopping.set()
        await self.may_stop.wait()
        self.stopped = True


def test_a_worker_that_is_cancelled_again_while_it_stops_still_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when SIGTERM comes while another routing file stops it: what it has sent is to be written, or it is sent
    again."""

    async def scenario() -> None:
        connection = StoppingConnection()
        to, clock = destination("webhook"), HandClock()
        loaded = LoadedRouting(Routing({"d": to}, (Route(Match(), ("d",)),)), {"d": MASKED}, "1")
        other = destination("webhook", "e")
        without = LoadedRouting(Routing({"e": other}, (Route(Match(), ("e",)),)), {"e": MASKED}, "2")
        connections: dict[str, Any] = {"d": connection, "e": Connection(None, at_start=True)}

        def make(name: str, found: LoadedRouting, routing: RoutingInForce) -> DestinationWorker:
            to = found.routing.destinations[name]
            return DestinationWorker(to, routing, Script(clock), connections.__getitem__, clock, metrics, Codec())

        metrics = NotifyMetrics()
        workers = DestinationWorkers(loaded, make, metrics)
        running = asyncio.create_task(workers.run())
        await until(lambda: [each.failure for each in workers.workers] == [None])
        workers.use(without)
        await connection.stopping.wait()
        running.cancel()
        await asyncio.sleep(0)
        running.cancel()
        for _ in range(20):
            await asyncio.sleep(0)
        assert not running.done(), "it waits for the worker"
        connection.may_stop.set()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert connection.stopped
        assert connections["e"].stopped

    play(scenario)


def test_a_worker_that_is_cancelled_while_it_reconnects_leaves_no_member_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One that stayed in the group would have partitions and deliver nothing."""
    monkeypatch.setattr(destination_worker, "SHUTDOWN_S", 0.01)

    async def scenario() -> None:
        connection = StoppingConnection()
        connection.failure, connection.at_start = KafkaConnectionError("away"), False
        to, clock = destination("webhook"), HandClock()
        routing = RoutingInForce(Routing({"d": to}, (Route(Match(), ("d",)),)))
        connections: list[Any] = [connection]
        tested = DestinationWorker(
            to, routing, Script(clock), lambda _: connections.pop(0), clock, NotifyMetrics(), Codec()
        )
        running = asyncio.create_task(tested.run())
        await connection.stopping.wait()
        running.cancel()
        connection.may_stop.set()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert connection.stopped
        others = asyncio.all_tasks() - {asyncio.current_task()}
        assert [each for each in others if "run" in repr(each.get_coro())] == []

    play(scenario)


def test_where_the_alerts_end_is_asked_of_all_partitions_or_not_known() -> None:
    """Without any partition new routes would begin before alerts that nobody has read."""

    class Member:
        partitions: set[int] | None = None

        def partitions_for_topic(self, topic: str) -> set[int] | None:
            assert topic == "sla.alerts"
            return self.partitions

    async def scenario() -> None:
        store = PageStore(read_settings(), "group", asyncio.Semaphore(1))
        store._metadata_consumer = RowsReader([0, 0], [None] * 7)
        with pytest.raises(SlaError, match="not known yet"):
            await store.alert_ends()
        store.consumer = Member()
        with pytest.raises(SlaError, match="not known yet"):
            await store.alert_ends()
        store.consumer.partitions = {0, 1}
        assert await store.alert_ends() == {0: 7, 1: 7}

    play(scenario)
