"""A notifier that stood still or was cut off from Kafka: another may own its partitions, so it writes nothing more."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from random import Random  # noqa: TID251 -- seeded
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaError, KafkaTimeoutError, RequestTimedOutError

from connect.notify import stall_detector
from connect.notify.page_store import PageStore
from connect.notify.page_store_rows import StateRow
from connect.notify.row_loading import RowLoading
from connect.notify.stall_detector import StallDetector
from streams.errors import SlaError
from streams.kafka import aiokafka_clients
from streams.settings import read_settings
from tests.chaos.loop import Loop
from tests.standard_modules import altered

TOPICS = {"sla.alerts", "sla.incidents", "sla.notifications"}


def test_a_process_that_stood_still_writes_nothing_more() -> None:
    now = 0.0
    detector = StallDetector(10.0, lambda: now)
    for now in (9.0, 18.0, 27.9):  # noqa: B007 -- the detector looks at it
        detector.check()
    now = 38.0
    with pytest.raises(SlaError, match="was stopped for long"):
        detector.check()
    with pytest.raises(SlaError, match="was stopped for long"):  # for good: its worker reconnects with another
        detector.check()


def test_a_process_on_a_machine_that_was_suspended_writes_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock of the loop stands still meanwhile."""
    now = 0.0
    clocks = altered(time, CLOCK_BOOTTIME=7, clock_gettime=lambda clock: now if clock == 7 else 0.0)
    monkeypatch.setattr(stall_detector, "time", clocks)

    async def scenario() -> None:
        nonlocal now
        store = PageStore(read_settings(), "g", RowLoading())
        now = 3_600.0
        with pytest.raises(SlaError, match="was stopped for long"):
            await store.write(0, [])

    asyncio.run(scenario())


def test_what_waits_in_a_client_of_kafka_is_not_sent_once_the_process_stood_still() -> None:
    now, sent = 0.0, list[str]()

    async def send(_: int, request: str) -> None:
        sent.append(request)

    async def scenario() -> None:
        nonlocal now
        guarded = StallDetector(10.0, lambda: now).guarded(send)
        await guarded(0, "in time")
        now = 30.0
        with pytest.raises(KafkaError, match="was stopped for long") as refused:
            await guarded(0, "late")
        assert not refused.value.retriable, "Kafka's client would try again"
        assert sent == ["in time"]

    asyncio.run(scenario())


def in_virtual_time(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    Loop(Random(1)).run(scenario())


class Group:
    """A consumer whose coordinator answers, or not."""

    def __init__(self, *, answers: bool) -> None:
        self.answers = answers

    async def committed(self, _: object) -> int:
        if not self.answers:
            await asyncio.Event().wait()
        return 0


class Acknowledgements:
    """A producer whose rows Kafka takes when the test says so."""

    def __init__(self) -> None:
        self.waiting: list[asyncio.Future[None]] = []

    async def send(self, *_: object, **__: object) -> asyncio.Future[None]:
        self.waiting.append(asyncio.get_running_loop().create_future())
        return self.waiting[-1]


def test_rows_that_kafka_does_not_take_are_given_up_before_another_process_has_the_partitions() -> None:
    """Kafka's client tries for ever: a notifier that was cut off would undo what its successor has written."""

    async def scenario() -> None:
        store, producer = PageStore(read_settings(), "g", RowLoading()), Acknowledgements()
        store._producer, store.consumer = producer, Group(answers=False)
        with pytest.raises(KafkaTimeoutError, match="taken no row for 5 s"):
            await store.write(0, [StateRow(b"a", None), StateRow(b"b", None)])
        assert all(each.cancelled() for each in producer.waiting)

    in_virtual_time(scenario)


def test_many_rows_may_take_long_as_long_as_kafka_takes_some() -> None:
    async def scenario() -> None:
        store, producer = PageStore(read_settings(), "g", RowLoading()), Acknowledgements()
        store._producer, store.consumer = producer, Group(answers=False)
        writing = asyncio.create_task(store.write(0, [StateRow(b"%d" % each, None) for each in range(20)]))
        for each in range(20):
            await asyncio.sleep(4)
            producer.waiting[each].set_result(None)
        await writing

    in_virtual_time(scenario)


def test_rows_that_kafka_is_slow_to_take_are_waited_for_while_the_group_answers() -> None:
    """As with a quota: a worker that connects anew would send again what is in flight, and be as slow."""

    async def scenario() -> None:
        store, producer, group = PageStore(read_settings(), "g", RowLoading()), Acknowledgements(), Group(answers=True)
        store._producer, store.consumer = producer, group
        writing = asyncio.create_task(store.write(0, [StateRow(b"a", None)]))
        await asyncio.sleep(60)
        assert not writing.done()
        group.answers = False
        await asyncio.sleep(7.5)
        with pytest.raises(KafkaTimeoutError):
            await writing

    in_virtual_time(scenario)


class Consumer:
    """A consumer that connects at once, and gets no answer then."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def topics(self) -> set[str]:
        return TOPICS

    def subscribe(self, *_: object, **__: object) -> None: ...

    async def committed(self, _: object) -> int:
        return await asyncio.Event().wait()  # type: ignore[return-value]


class Network:
    """What a real producer of Kafka is connected with. Requests fail while it is `away`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, on_connect: Callable[[], None] = lambda: None) -> None:
        self.away = False
        self.rows = 0
        self.on_connect = on_connect
        monkeypatch.setattr(PageStore, "_new_consumer", lambda _, **__: Consumer())
        monkeypatch.setattr(aiokafka_clients, "idempotent_producer", self.producer)

    def producer(self, *_: object, **options: Any) -> Any:
        producer = aiokafka_clients._made(
            aiokafka_clients.aiokafka.AIOKafkaProducer, ["kafka:1"], {}, {"enable_idempotence": True} | options
        )
        client = producer.client

        async def nothing(*_: object) -> bool:
            self.on_connect()
            return True

        client.bootstrap = client.close = client._maybe_wait_metadata = nothing
        client._wait_on_metadata = self.partitions
        client.send = self.send
        client.get_random_node = client.cluster.leader_for_partition = lambda *_: 0
        client.cluster.partitions_for_topic = lambda _: {0}
        client.force_metadata_update = lambda: asyncio.ensure_future(nothing())
        return producer

    async def partitions(self, _: str) -> set[int]:
        return {0}

    async def send(self, _: int, request: Any, **__: object) -> Any:
        away = self.away  # a request that is on its way when the network comes back may arrive: none does here
        await asyncio.sleep(0.01)
        if away:
            raise RequestTimedOutError
        if "InitProducerId" in type(request).__name__:
            return SimpleNamespace(error_code=0, producer_id=1, producer_epoch=0)
        self.rows += 1
        return SimpleNamespace(topics=[("sla.notifications", [(0, 0, self.rows, -1, 0, None, None)])], API_VERSION=8)


def test_a_row_that_was_given_up_is_not_written_while_the_client_of_kafka_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its close sends what waits in it, and the network may be back by then."""
    monkeypatch.setenv("SLA_SESSION_TIMEOUT", "PT2S")
    network = Network(monkeypatch)

    async def scenario() -> None:
        store = PageStore(read_settings(), "g", RowLoading())
        await store.start(None)
        await store.write(0, [StateRow(b"a", None)])
        assert network.rows == 1
        network.away = True
        with pytest.raises((KafkaTimeoutError, SlaError)):
            await store.write(0, [StateRow(b"b", None)])
        network.away = False
        await store.stop()
        assert network.rows == 1

    asyncio.run(scenario())


def test_a_process_that_stands_still_while_it_connects_connects_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    clocks = altered(time, CLOCK_BOOTTIME=7, clock_gettime=lambda clock: now if clock == 7 else 0.0)
    monkeypatch.setattr(stall_detector, "time", clocks)

    def stand_still() -> None:
        nonlocal now
        now += 60.0

    Network(monkeypatch, on_connect=stand_still)

    async def scenario() -> None:
        store = PageStore(read_settings(), "g", RowLoading())
        await asyncio.wait_for(store.start(None), 120)
        with pytest.raises(SlaError, match="was stopped for long"):
            await store.write(0, [])
        await store.stop()

    asyncio.run(scenario())
