"""The publisher over a fake producer: partitions, acknowledgements, refusals, closing."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as RetryLater
from typing import Any, NamedTuple

import pytest
from kafka.errors import IllegalStateError, KafkaTimeoutError, NotEnoughReplicasError, TopicAuthorizationFailedError
from kafka.future import Future

from connect.client import (
    BrokerUnavailable,
    ClientError,
    DeliveryFailed,
    IncidentPublisher,
    InvalidEvent,
    Position,
    Who,
    opened_in,
)
from connect.client import publisher as publisher_module
from connect.client.publisher import _connected
from streams.kafka.partitioner import partition_of
from streams.sla.instants import format_rfc3339
from streams.time_source import SystemTimeSource
from tests.standard_modules import altered
from tests.waiting import TIMEOUT_S

KIM = Who("support", "kim")
NOW_TEXT = format_rfc3339(SystemTimeSource().now())
REFUSED = TopicAuthorizationFailedError("sla.incident-events")


class Metadata(NamedTuple):
    topic: str
    partition: int
    offset: int


class FakeProducer:
    """Acknowledges at a flush; `outcomes` has what happens to each event in turn, None for success."""

    def __init__(self, *outcomes: Exception | None, partitions: int = 5) -> None:
        self.outcomes = list(outcomes)
        self.sent: list[tuple[str, dict[str, Any], Future]] = []
        self.absent: Exception | None = None
        self.slow: Exception | None = None
        self.closed = 0
        self._partitions = partitions

    def partitions_for(self, topic: str) -> set[int]:
        if self.absent is not None:
            raise self.absent
        return set(range(self._partitions))

    def send(self, topic: str, **record: Any) -> Future:
        future = Future()
        self.sent.append((topic, record, future))
        return future

    def flush(self, timeout: float | None = None) -> None:
        if self.slow is not None:
            raise self.slow
        for offset, (topic, record, future) in enumerate(self.sent):
            if future.is_done:
                continue
            outcome = self.outcomes.pop(0) if self.outcomes else None
            if outcome is None:
                future.success(Metadata(topic, record["partition"], offset))
            else:
                future.failure(outcome)

    def close(self, timeout: float | None = None) -> None:
        self.closed += 1


def publisher(producer: FakeProducer) -> IncidentPublisher:
    return IncidentPublisher("kafka:9092", "/desk", producer=producer)


def test_an_event_goes_to_the_partition_of_its_subject_and_tells_where_it_lies() -> None:
    producer = FakeProducer()
    with publisher(producer) as desk:
        deliveries = [desk.responded(f"inc-{number}", who=KIM) for number in range(50)]
        with pytest.raises(RetryLater):
            deliveries[0].result(timeout=0)
        assert not deliveries[0].cancel()
    for number, delivery in enumerate(deliveries):
        own = partition_of(f"inc-{number}", 5)
        assert delivery.result(timeout=0) == Position("sla.incident-events", own, number)
        assert producer.sent[number][1]["partition"] == own
    assert str(deliveries[0].result()).startswith("sla.incident-events, partition ")


def test_closing_flushes_but_does_not_close_a_producer_of_ones_own() -> None:
    producer = FakeProducer()
    desk = publisher(producer)
    delivery = desk.responded("inc-1", who=KIM)
    desk.close()
    desk.close()
    assert delivery.done()
    assert producer.closed == 0
    with pytest.raises(ClientError, match="is closed"):
        desk.responded("inc-1", who=KIM)


@pytest.mark.parametrize(
    ("error", "retriable", "advice"),
    [
        (KafkaTimeoutError("30 s"), True, "send the same event again, with its id and time"),
        (NotEnoughReplicasError(), True, "send the same event again"),
        (REFUSED, False, "sending it again will fail too"),
    ],
)
def test_a_failed_delivery_says_what_to_do(error: Exception, retriable: bool, advice: str) -> None:
    with publisher(FakeProducer(error)) as desk:
        delivery = desk.responded("inc-1", who=KIM, event_id="e1")
        with pytest.raises(DeliveryFailed, match=advice) as caught:
            desk.flush()
        assert caught.value.retriable is retriable
        assert caught.value.events == (delivery.event,)
        assert str(caught.value).startswith("incident.responded inc-1 (id e1) was not acknowledged by kafka:9092: ")
        assert delivery.exception(timeout=0) is caught.value


def test_the_same_event_is_sent_again_byte_by_byte() -> None:
    producer = FakeProducer(KafkaTimeoutError("30 s"))
    with publisher(producer) as desk:
        first = desk.responded("inc-1", who=KIM)
        producer.flush()
        assert isinstance(first.exception(), DeliveryFailed)
        second = desk.publish(first.event)
        producer.flush()
        assert second.result(timeout=0).offset == 1
    assert producer.sent[0][1] == producer.sent[1][1]


def test_what_a_delivery_has_told_is_not_told_again_at_the_end() -> None:
    producer = FakeProducer(KafkaTimeoutError("30 s"))
    with publisher(producer) as desk:
        delivery = desk.responded("inc-1", who=KIM)
        producer.flush()
        with pytest.raises(DeliveryFailed):
            delivery.result()


def test_several_failures_are_told_together_at_the_end() -> None:
    desk = publisher(FakeProducer(KafkaTimeoutError("30 s"), None, REFUSED))
    for number in range(3):
        desk.responded(f"inc-{number}", who=KIM)
    with pytest.raises(DeliveryFailed, match="2 events were not acknowledged, the first: ") as e:
        desk.close()
    assert [event["subject"] for event in e.value.events] == ["inc-0", "inc-2"]
    assert e.value.retriable is False
    desk.close()


def test_an_error_inside_the_with_is_not_hidden_by_one_at_its_end(caplog: pytest.LogCaptureFixture) -> None:
    desk = publisher(FakeProducer(REFUSED))
    desk.responded("inc-1", who=KIM)
    with pytest.raises(InvalidEvent), desk:
        desk.responded("", who=KIM)
    assert "publisher_close_failed" in caplog.text


@pytest.mark.parametrize("last", [KafkaTimeoutError(), REFUSED], ids=["retriable", "final"])
def test_failures_beyond_a_thousand_are_counted_and_the_first_are_kept(last: Exception) -> None:
    producer = FakeProducer(*[KafkaTimeoutError()] * 2_499, last)
    desk = IncidentPublisher("kafka:9092", "/desk", producer=producer)
    deliveries = [desk.responded(f"inc-{number}", who=KIM, event_id=f"e{number}") for number in range(2_500)]
    with pytest.raises(DeliveryFailed, match=r"^2,500 events were not acknowledged .*events of 1,000") as caught:
        desk.flush()
    assert caught.value.count == 2_500
    assert [event["id"] for event in caught.value.events] == [f"e{number}" for number in range(1_000)]
    assert caught.value.retriable is (last is not REFUSED)
    assert all(isinstance(each.exception(timeout=0), DeliveryFailed) for each in deliveries)
    desk.flush()  # they were reported


def test_failures_that_were_reported_make_room_for_others() -> None:
    producer = FakeProducer(*[KafkaTimeoutError()] * 3_000)
    desk = IncidentPublisher("kafka:9092", "/desk", producer=producer)
    for number in range(3_000):
        delivery = desk.responded(f"inc-{number}", who=KIM)
        if number < 2_500:
            producer.flush()
            delivery.exception(timeout=0)
    with pytest.raises(DeliveryFailed, match=r"^500 events were not acknowledged, the first"):
        desk.flush()


def test_a_flush_that_takes_too_long_is_told() -> None:
    producer = FakeProducer()
    desk = publisher(producer)
    desk.responded("inc-1", who=KIM)
    producer.slow = KafkaTimeoutError("1 s")
    with pytest.raises(DeliveryFailed, match="has not acknowledged all events in time"):
        desk.flush(timeout_s=1)
    producer.slow = None
    desk.close()


def test_a_topic_that_cannot_be_written_is_told_before_anything_is_sent() -> None:
    producer = FakeProducer()
    producer.absent = KafkaTimeoutError("Failed to update metadata after 10 secs.")
    with publisher(producer) as desk:
        with pytest.raises(BrokerUnavailable, match="nothing was sent: is Kafka running, and does the topic exist"):
            desk.responded("inc-1", who=KIM)
        assert producer.sent == []


def test_asyncio_can_wait_for_it() -> None:
    producer = FakeProducer(None, REFUSED)

    async def both() -> tuple[Position, str]:
        desk = publisher(producer)
        first, second = (asyncio.wrap_future(desk.responded("inc-1", who=KIM)) for _ in range(2))
        producer.flush()
        position = await first
        with pytest.raises(DeliveryFailed) as caught:
            await second
        desk.close()
        return position, str(caught.value)

    position, told = asyncio.run(both())
    assert position.topic == "sla.incident-events"
    assert "will fail too" in told


@pytest.mark.parametrize("name", ["acks", "enable_idempotence", "bootstrap_servers", "retries", "transactional_id"])
def test_what_the_promises_rest_on_is_not_to_be_chosen(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} can't be set"):
        _connected("127.0.0.1:1", 1.0, {name: 1})


def test_a_delivery_keeps_the_event_that_was_sent_when_the_caller_changes_its_own() -> None:
    producer = FakeProducer(NotEnoughReplicasError(), NotEnoughReplicasError())
    desk = publisher(producer)
    event = {
        **{"specversion": "1.0", "id": "one", "type": "incident.responded", "source": "/desk", "subject": "inc-1"},
        **{"time": NOW_TEXT, "data": {"who": {"kind": "support", "id": "kim"}}},
    }
    first = desk.publish(event)
    event["id"] = "two"
    event["data"]["who"]["id"] = "lee"  # type: ignore[index]
    desk.publish(event)
    with pytest.raises(DeliveryFailed) as caught:
        desk.close()
    assert [(each["id"], each["data"]["who"]["id"]) for each in caught.value.events] == [  # type: ignore[index]
        ("one", "kim"),
        ("two", "lee"),
    ]
    assert first.event["id"] == "one"


def test_a_publisher_is_refused_in_a_process_that_was_forked_since(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread that sends is not there: an event would wait for ever, and nobody would know."""
    producer = FakeProducer()
    desk = publisher(producer)
    with monkeypatch.context() as forked:
        forked.setattr(opened_in, "os", altered(os, getpid=lambda: -1))
        for use in (lambda: desk.responded("inc-1", who=KIM), desk.flush):
            with pytest.raises(ClientError, match="the publisher was opened before this process was forked"):
                use()
        desk.close()
        assert producer.sent == []
    desk.responded("inc-1", who=KIM)
    desk.close()
    assert len(producer.sent) == 1


def test_what_kafka_does_not_acknowledge_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """In an outage a busy service would else collect events until its memory is full."""
    monkeypatch.setattr(publisher_module, "_MOST_BYTES", 5_000)
    monkeypatch.setattr(publisher_module, "_ROOM_S", 0.01)
    producer = FakeProducer(NotEnoughReplicasError())
    desk = publisher(producer)

    def publish(count: int) -> None:
        for number in range(count):
            desk.responded(f"inc-{number}", who=KIM)

    with pytest.raises(BrokerUnavailable, match=r"acknowledges too little: .* nothing was sent: wait for deliveries"):
        publish(10)
    sent = len(producer.sent)
    assert 2 <= sent <= 4
    with pytest.raises(DeliveryFailed):
        desk.flush()  # what is given up makes room, as what is acknowledged does
    publish(sent)
    producer.absent = KafkaTimeoutError()
    desk.flush()
    for _ in range(10):
        with pytest.raises(BrokerUnavailable, match="can't be written"):
            publish(1)
    producer.absent = None
    publish(sent)
    desk.close()


def test_a_callback_does_not_wait_for_what_only_its_own_end_brings(monkeypatch: pytest.MonkeyPatch) -> None:
    """It runs in the thread that receives acknowledgements: to wait for room there is to wait in vain."""
    monkeypatch.setattr(publisher_module, "_MOST_BYTES", 5_000)
    producer = FakeProducer()
    desk = publisher(producer)
    waits: list[float] = []
    reserve = desk._unacknowledged.reserve

    def reserved(size: int, timeout_s: float) -> bool:
        waits.append(timeout_s)
        return reserve(size, 0.0)

    monkeypatch.setattr(desk._unacknowledged, "reserve", reserved)
    told: list[str] = []

    def publish() -> None:
        for _ in range(9):
            desk.updated("inc-2", who=KIM, visibility="internal")

    def react(_: object) -> None:
        for use in (
            lambda: [desk.updated("inc-2", who=KIM, visibility="internal") for _ in range(9)],
            desk.flush,
            desk.close,
        ):
            with pytest.raises(ClientError) as caught:
                use()
            told.append(str(caught.value))

    desk.responded("inc-1", who=KIM).add_done_callback(react)
    producer.flush()
    assert waits[0] == publisher_module._ROOM_S
    assert set(waits[1:]) == {0.0}
    assert "nothing was sent: publish it from another thread" in told[0]
    assert ["call them from another thread" in each for each in told[1:]] == [True, True]
    desk.close()
    assert len(producer.sent) == len(waits) - 1


class OwnedProducer(FakeProducer):
    """One that the publisher opened; `at_close` is what happens while it is closed."""

    def __init__(self, *outcomes: Exception | None) -> None:
        super().__init__(*outcomes)
        self.at_close: Any = lambda: None

    def close(self, timeout: float | None = None) -> None:
        super().close(timeout)
        self.at_close()


@pytest.fixture
def owned(monkeypatch: pytest.MonkeyPatch) -> OwnedProducer:
    producer = OwnedProducer()
    monkeypatch.setattr(publisher_module, "_connected", lambda *_: producer)
    return producer


def test_what_fails_while_the_producer_is_closed_is_told(owned: OwnedProducer) -> None:
    desk = IncidentPublisher("kafka:9092", "/desk")
    delivery = desk.responded("inc-1", who=KIM)
    owned.slow = KafkaTimeoutError("35 s")
    owned.at_close = lambda: owned.sent[0][2].failure(NotEnoughReplicasError())
    with pytest.raises(DeliveryFailed, match="NotEnoughReplicasError") as caught:
        desk.close()
    assert caught.value.events == (delivery.event,)
    assert owned.closed == 1


def test_what_is_unknown_when_the_publisher_has_closed_is_given_up_and_told(owned: OwnedProducer) -> None:
    desk = IncidentPublisher("kafka:9092", "/desk")
    delivery = desk.responded("inc-1", who=KIM)
    owned.slow = KafkaTimeoutError("35 s")
    with pytest.raises(
        DeliveryFailed, match=r"closed before Kafka had answered.* may or may not be in Kafka"
    ) as caught:
        desk.close()
    assert caught.value.events == (delivery.event,)
    assert delivery.exception(timeout=0) is caught.value
    owned.sent[0][2].success(Metadata("sla.incident-events", 0, 1))  # comes too late
    assert delivery.exception(timeout=0) is caught.value


def test_callbacks_of_what_is_given_up_can_neither_wait_for_each_other_nor_end_the_closing(
    owned: OwnedProducer, caplog: pytest.LogCaptureFixture
) -> None:
    desk = IncidentPublisher("kafka:9092", "/desk")
    first, second, third = (desk.responded(f"inc-{number}", who=KIM) for number in range(3))
    refused: list[BaseException | None] = []

    def waits(_: object) -> None:
        try:
            second.result()
        except ClientError as error:
            refused.append(error)

    first.add_done_callback(waits)
    second.add_done_callback(lambda _: sys.exit("over"))
    owned.slow = KafkaTimeoutError("35 s")
    with pytest.raises(DeliveryFailed, match="3 events"):
        desk.close()
    assert refused
    assert third.done()
    assert "can't end the process" in caplog.text


def test_ctrl_c_while_a_publisher_closes_ends_every_delivery(owned: OwnedProducer) -> None:
    desk = IncidentPublisher("kafka:9092", "/desk")
    delivery = desk.responded("inc-1", who=KIM)
    owned.slow = KeyboardInterrupt()  # type: ignore[assignment]
    with pytest.raises(KeyboardInterrupt):
        desk.close()
    assert isinstance(delivery.exception(timeout=0), DeliveryFailed)


def test_a_flush_that_ends_as_the_last_event_is_acknowledged_is_no_failure(owned: OwnedProducer) -> None:
    with IncidentPublisher("kafka:9092", "/desk") as desk:
        delivery = desk.responded("inc-1", who=KIM)
        desk.flush()
        owned.slow = KafkaTimeoutError("35 s")
        desk.flush()
        owned.slow = None
    assert delivery.result(timeout=0).offset == 0


def test_closing_waits_for_events_that_other_threads_are_publishing(owned: OwnedProducer) -> None:
    begun, may_go_on = threading.Event(), threading.Event()

    def partitions_for(topic: str) -> set[int]:
        begun.set()
        assert may_go_on.wait(TIMEOUT_S)
        return {0}

    owned.partitions_for = partitions_for  # type: ignore[method-assign]
    desk = IncidentPublisher("kafka:9092", "/desk")
    with ThreadPoolExecutor() as threads:
        published = threads.submit(desk.responded, "inc-1", who=KIM)
        assert begun.wait(TIMEOUT_S)
        closed = threads.submit(desk.close)
        while not desk._calls.closed:
            pass
        with pytest.raises(ClientError, match="the publisher is closed"):
            desk.responded("inc-2", who=KIM)
        may_go_on.set()
        closed.result(TIMEOUT_S)
    assert published.result().result(timeout=0).offset == 0


def test_a_call_that_the_closing_interrupts_in_its_own_thread_says_why_it_failed(owned: OwnedProducer) -> None:
    """As when a signal handler closes the publisher."""
    desk = IncidentPublisher("kafka:9092", "/desk")

    def partitions_for(topic: str) -> set[int]:
        desk.close()
        raise IllegalStateError("RecordAccumulator is closed")

    owned.partitions_for = partitions_for  # type: ignore[method-assign]
    with pytest.raises(ClientError, match="the publisher was closed meanwhile; nothing was sent"):
        desk.responded("inc-1", who=KIM)


@pytest.mark.parametrize("outcome", [None, REFUSED], ids=["pending", "failed"])
def test_a_publisher_that_nobody_closes_logs_what_it_lost(
    outcome: Exception | None, owned: OwnedProducer, caplog: pytest.LogCaptureFixture
) -> None:
    desk = IncidentPublisher("kafka:9092", "/desk")
    desk.responded("inc-1", who=KIM)
    if outcome is None:
        owned.slow = KafkaTimeoutError("5 s")
    else:
        owned.outcomes.append(outcome)
    desk._left_open()  # as the end of the process does
    assert "publisher_not_closed: " in caplog.text
    assert ("1 events are not acknowledged" if outcome is None else "incident.responded inc-1") in caplog.text


def test_a_callback_that_exits_does_not_end_the_thread_that_sends(caplog: pytest.LogCaptureFixture) -> None:
    producer = FakeProducer()
    with publisher(producer) as desk:
        delivery = desk.responded("inc-1", who=KIM)
        delivery.add_done_callback(lambda _: sys.exit(3))
        told: list[object] = []
        delivery.add_done_callback(told.append)
        producer.flush()
        assert told == [delivery]
    assert "callback_failed: " in caplog.text


def test_a_callback_does_not_wait_for_another_delivery_for_ever() -> None:
    producer = FakeProducer()
    told: list[str] = []
    with publisher(producer) as desk:
        first, second = (desk.responded(f"inc-{number}", who=KIM) for number in range(2))

        def react(_: object) -> None:
            for ask in (second.result, second.exception):
                with pytest.raises(ClientError, match="results of other deliveries wait") as caught:
                    ask()
                told.append(str(caught.value))
            with pytest.raises(RetryLater):
                second.result(timeout=0)

        first.add_done_callback(react)
        producer.flush()
        assert len(told) == 2
