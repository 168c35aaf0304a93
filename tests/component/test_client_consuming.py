"""Consumers over a fake broker: committed after handling, each id once, nothing lost wherever the consumer stops."""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pytest
from kafka import TopicPartition
from kafka.errors import (
    CommitFailedError,
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
)

from connect.client import (
    BrokerUnavailable,
    ClientError,
    ReceivedEvent,
    Subscription,
    UndecodableRecord,
    consume_alerts,
    opened_in,
)
from streams.kafka.records import UnreadBatch
from streams.serde.codec import encode
from tests import page_triggers
from tests.standard_modules import altered

PLACE = TopicPartition("sla.credits", 0)
OTHER = TopicPartition("sla.credits", 1)


class Record(NamedTuple):
    topic: str
    partition: int
    offset: int
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


def credit(name: str) -> bytes:
    return encode(
        "credit.issued",
        {
            "event_id": name,
            "source": "/sla/ledger",
            "subject": "acme",
            "occurred_at": 1_769_850_000_000_000,
            "policy": {"name": "gold", "version": "1", "digest": "d"},
            "tenant_id": "acme",
            "month": "2026-01",
            "statement_revision": 1,
            "amount": {"amount_minor": 40_000, "currency": "JPY"},
            "cause": "claimed",
        },
    )


class FakeBroker:
    """One partition's log and the offset that the group has committed."""

    def __init__(self, values: Iterable[bytes | None]) -> None:
        self.log = [Record("sla.credits", 0, offset, value) for offset, value in enumerate(values)]
        self.committed = 0
        self.commits: list[int] = []

    def consumer(self, *failures: KafkaError | None) -> FakeConsumer:
        return FakeConsumer(self, failures)


class FakeConsumer:
    """Polls on from the committed offset; `failures` has what happens to each commit in turn, None for success."""

    def __init__(self, broker: FakeBroker, failures: Iterable[KafkaError | None]) -> None:
        self.broker = broker
        self.at = broker.committed
        self.failures = deque(failures)
        self.assigned = {PLACE}
        self.refusal: Exception | None = None
        self.closed = 0
        self.when_empty: Any = lambda: None

    def poll(self, timeout_ms: int = 0, max_records: int | None = None) -> dict[Any, list[Record]]:
        if self.refusal is not None:
            raise self.refusal
        found = self.broker.log[self.at : self.at + (max_records or 1)]
        self.at += len(found)
        if not found:
            self.when_empty()
        return {PLACE: found} if found else {}

    def commit(self, offsets: Any = None, timeout_ms: int | None = None) -> None:
        failure = self.failures.popleft() if self.failures else None
        if failure is not None:
            if isinstance(failure, CommitFailedError):
                self.at = self.broker.committed  # it has to join again, and begins there
            raise failure
        self.broker.committed = offsets[PLACE].offset
        self.broker.commits.append(self.broker.committed)

    def assignment(self) -> set[Any]:
        return self.assigned

    def close(self, autocommit: bool = True, timeout_ms: int | None = None) -> None:
        assert autocommit is False
        self.closed += 1


class Seconds:
    """A stopwatch that runs as told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def subscribed(consumer: FakeConsumer, **given: Any) -> Subscription:
    subscription = Subscription(consumer, **given)
    consumer.when_empty = subscription.stop
    return subscription


def test_a_batch_that_is_too_large_to_be_read_is_told_with_its_reason() -> None:
    large = UnreadBatch.of(0, 39, 45_000, "f" * 64, 33_554_432)
    broker = FakeBroker([large, credit("next")])
    problems = list[UndecodableRecord]()
    with subscribed(broker.consumer(), on_undecodable=problems.append) as events:
        assert [each.id for each in events] == ["next"]
    assert problems[0].code == "oversize"
    assert "the record batch of offsets 0 to 39 decompresses to more than 33,554,432 bytes" in str(problems[0])


def test_a_late_breach_says_when_its_incident_ended() -> None:
    broker = FakeBroker([credit("late"), credit("ordinary")])
    ended = ("ce_incidentended", b"2026-01-31T15:00:00Z")
    broker.log[0] = broker.log[0]._replace(headers=(ended,))
    with subscribed(broker.consumer()) as events:
        found = {each.id: each.incident_ended for each in events}
    assert found == {"late": datetime(2026, 1, 31, 15, tzinfo=UTC), "ordinary": None}


def ids(events: Iterable[ReceivedEvent]) -> list[str]:
    return [event.id for event in events]


def names(count: int) -> list[str]:
    return [f"c{number}" for number in range(count)]


def test_all_events_come_once_in_order_and_are_committed_at_the_end() -> None:
    broker = FakeBroker(map(credit, names(45)))
    consumer = broker.consumer()
    with subscribed(consumer) as credits_:
        assert ids(credits_) == names(45)
    assert broker.committed == 45
    assert broker.commits == [20, 40, 45]
    assert consumer.closed == 1


def test_an_event_is_the_json_form_with_its_envelope_at_hand() -> None:
    (event,) = subscribed(FakeBroker([credit("c0")]).consumer())
    assert json.loads(json.dumps(event)) == {
        "specversion": "1.0",
        "id": "c0",
        "type": "credit.issued",
        "source": "/sla/ledger",
        "subject": "acme",
        "time": "2026-01-31T09:00:00Z",
        "data": event.data,
    }
    assert (event.id, event.type, event.subject, event.backfill) == ("c0", "credit.issued", "acme", False)
    assert event.time == datetime(2026, 1, 31, 9, tzinfo=UTC)
    assert event.data["amount"] == {"amount_minor": 40_000, "currency": "JPY"}
    assert event.position == ("sla.credits", 0, 0)


def test_nothing_is_committed_before_it_is_handled() -> None:
    broker, clock = FakeBroker(map(credit, names(5))), Seconds()
    committed = []
    for _ in subscribed(broker.consumer(), seconds=clock):
        committed.append(broker.committed)
        clock.now += 1.0
    assert committed == [0, 1, 2, 3, 4]


def test_quick_handlers_do_not_pay_for_a_commit_each() -> None:
    broker, clock = FakeBroker(map(credit, names(20))), Seconds()
    for _ in subscribed(broker.consumer(), seconds=clock):
        clock.now += 0.3
    assert broker.commits == [4, 8, 12, 16, 20]


@pytest.mark.parametrize("crash_at", range(12))
def test_a_handler_that_fails_gets_the_event_again_and_none_is_lost(crash_at: int) -> None:
    broker = FakeBroker(map(credit, names(12)))
    handled: list[str] = []

    def handle() -> None:
        for event in subscribed(broker.consumer()):
            if len(handled) == crash_at:
                raise ZeroDivisionError
            handled.append(event.id)

    with pytest.raises(ZeroDivisionError):
        handle()
    assert broker.committed == crash_at
    handled += ids(subscribed(broker.consumer()))
    assert handled == names(12)


@pytest.mark.parametrize("crash_at", range(1, 12))
def test_a_crash_between_handling_and_commit_loses_nothing_and_doubles_nothing_by_id(crash_at: int) -> None:
    """As kill -9 does: what was handled is not committed, and nobody closes anything."""
    broker = FakeBroker(map(credit, names(12)))
    handled: list[str] = []
    crashed = iter(Subscription(broker.consumer()))
    while len(handled) < crash_at:
        handled.append(next(crashed).id)
    assert broker.committed == 0
    handled += ids(subscribed(broker.consumer()))
    assert list(dict.fromkeys(handled)) == names(12)
    broker.log.clear()  # the crashed one commits nothing when it is collected
    crashed.close()  # type: ignore[attr-defined]


def test_leaving_the_loop_by_break_commits_what_was_handled_before() -> None:
    broker = FakeBroker(map(credit, names(5)))
    credits_ = subscribed(broker.consumer())
    with credits_:
        for event in credits_:
            if event.id == "c3":
                break
    assert broker.committed == 3


def test_stop_ends_after_the_event_in_hand_which_is_committed() -> None:
    broker = FakeBroker(map(credit, names(5)))
    with Subscription(broker.consumer()) as credits_:
        for event in credits_:
            if event.id == "c3":
                credits_.stop()
    assert broker.committed == 4


def test_ids_that_come_again_are_left_out_as_long_as_they_are_remembered() -> None:
    again = ["a", "b", "a", "b", "c", "a"]
    assert ids(subscribed(FakeBroker(map(credit, again)).consumer())) == ["a", "b", "c"]
    assert ids(subscribed(FakeBroker(map(credit, again)).consumer(), remember=1)) == again


def verdict(name: str, id_: str) -> bytes:
    return page_triggers.value_of(page_triggers.event(name, id_=id_))


def test_a_breach_that_is_back_after_its_retraction_is_told_again_and_once() -> None:
    """It has the same id (R3); a consumer that misses it would believe the retraction."""
    log = [verdict(*each) for each in [("breached", "b"), ("retracted", "r"), ("breached", "b"), ("met", "m")]]
    assert ids(subscribed(FakeBroker(log).consumer())) == ["b", "r", "b", "m"]
    broker, clock = FakeBroker(log), Seconds()
    moved = subscribed(broker.consumer(CommitFailedError()), seconds=clock)
    handled = []
    for each in moved:
        handled.append(each.id)
        clock.now += 0.6  # the first commit, after two events, fails, and they come again
    assert handled == ["b", "r", "b", "m"]
    assert broker.committed == 4


def test_partitions_that_moved_before_a_commit_are_left_to_their_new_owner() -> None:
    broker, clock = FakeBroker(map(credit, names(6))), Seconds()
    handled = []
    for event in subscribed(broker.consumer(CommitFailedError()), seconds=clock):
        handled.append(event.id)
        clock.now += 1.0
    assert handled == names(6)  # c0 came again, and was known
    assert broker.committed == 6


def test_offsets_of_partitions_that_are_another_ones_are_not_committed() -> None:
    broker = FakeBroker(map(credit, names(3)))
    consumer = broker.consumer()
    consumer.assigned = {OTHER}
    assert ids(subscribed(consumer)) == names(3)
    assert broker.commits == []


def test_a_commit_that_the_broker_has_no_time_for_is_put_off() -> None:
    broker = FakeBroker(map(credit, names(25)))
    assert ids(subscribed(broker.consumer(KafkaTimeoutError("10 s")))) == names(25)
    assert broker.commits == [25]


def test_refusals_are_told() -> None:
    broker = FakeBroker(map(credit, names(3)))
    consumer = broker.consumer(GroupAuthorizationFailedError("billing"), GroupAuthorizationFailedError("billing"))
    with pytest.raises(BrokerUnavailable, match=r"refuses the commit: .*handled events will be read again"):
        ids(subscribed(consumer))
    assert consumer.closed == 1
    consumer = broker.consumer()
    consumer.refusal = GroupAuthorizationFailedError("billing")
    with pytest.raises(BrokerUnavailable, match="refuses to send events"):
        ids(subscribed(consumer))


def test_while_no_broker_answers_it_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker that hung and then died: the group's coordinator is not known, and nobody takes a connection."""
    broker = FakeBroker(map(credit, names(3)))
    consumer = broker.consumer()
    consumer.refusal = KafkaConnectionError("111 ECONNREFUSED")
    credits_ = subscribed(consumer)

    def back(timeout: float | None = None) -> bool:
        consumer.refusal = None
        return False

    monkeypatch.setattr(credits_._stopped, "wait", back)
    assert ids(credits_) == names(3)


def test_what_cannot_be_decoded_ends_it_with_coordinates_and_comes_again() -> None:
    broker = FakeBroker([credit("c0"), b"\xff", credit("c2")])
    credits_ = iter(subscribed(broker.consumer()))
    assert next(credits_).id == "c0"
    with pytest.raises(UndecodableRecord, match=r"sla\.credits, partition 0, offset 1: undecodable: ") as caught:
        next(credits_)
    assert (caught.value.position.offset, caught.value.code, caught.value.value) == (1, "undecodable", b"\xff")
    assert broker.committed == 1


def test_a_handler_may_take_what_cannot_be_decoded() -> None:
    broker = FakeBroker([credit("c0"), None, b"\xc3\x01" + bytes(8), credit("c2")])
    told: list[UndecodableRecord] = []
    assert ids(subscribed(broker.consumer(), on_undecodable=told.append)) == ["c0", "c2"]
    assert [problem.code for problem in told] == ["undecodable", "unknown_schema"]
    assert broker.committed == 4


@pytest.mark.parametrize(
    "name",
    [
        "isolation_level",
        "enable_auto_commit",
        "group_id",
        "auto_offset_reset",
        "key_deserializer",
        "value_deserializer",
    ],
)
def test_what_the_promises_rest_on_is_not_the_callers_choice(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} can't be set"):
        consume_alerts("127.0.0.1:1", group="on-call", kafka={name: 1})


def test_a_start_that_there_is_not_is_refused_before_anything_is_read() -> None:
    """Kafka's client would take it for none, and fail at the first partition without a committed offset."""
    with pytest.raises(ValueError, match="start: allowed: earliest or latest, got 'newest'"):
        consume_alerts("127.0.0.1:1", group="on-call", start="newest")  # type: ignore[arg-type]


def test_a_subscription_is_refused_in_a_process_that_was_forked_since(monkeypatch: pytest.MonkeyPatch) -> None:
    broker = FakeBroker(map(credit, names(3)))
    consumer = broker.consumer()
    subscription = subscribed(consumer)
    with monkeypatch.context() as forked:
        forked.setattr(opened_in, "os", altered(os, getpid=lambda: -1))
        with pytest.raises(ClientError, match="the subscription was opened before this process was forked"):
            ids(subscription)
        assert (consumer.closed, broker.commits) == (0, []), "the connection is the other process's"
    assert ids(subscription) == names(3)


def test_a_subscription_ends_with_its_loop() -> None:
    subscription = subscribed(FakeBroker(map(credit, names(3))).consumer())
    assert ids(subscription) == names(3)
    with pytest.raises(ClientError, match="the subscription is closed: it ends with its loop; open another one"):
        ids(subscription)
