"""States in the client: a subscription tells of deletions, and the view holds the newest state of each incident."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pytest
from kafka import TopicPartition
from kafka.errors import CommitFailedError, KafkaTimeoutError, TopicAuthorizationFailedError
from story import contract, opened, policies, resolved, responded, texts

from connect.client import (
    BrokerUnavailable,
    ClientError,
    IncidentStates,
    ReceivedEvent,
    Subscription,
    UndecodableRecord,
    opened_in,
    states,
)
from streams.replay.simulate import simulate
from streams.serde.cloudevents_json import from_json
from streams.serde.codec import encode
from streams.sla.events import Rejection
from tests.standard_modules import altered
from tests.waiting import TIMEOUT_S

TOPIC = "sla.incident-state"
PLACES = [TopicPartition(TOPIC, 0), TopicPartition(TOPIC, 1)]


class Record(NamedTuple):
    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int = 1_772_445_600_000
    headers: Sequence[tuple[str, bytes]] = ()


def value_of(*lines: dict[str, Any], of: str = "inc") -> bytes:
    """The final state after these events, as it is on the topic."""
    found = simulate(texts([contract("2026-01-01T00:00:00Z"), *lines]), policies(), states=True)
    (state,) = [each for each in found if each["type"] == "incident.state" and each["subject"] == of]
    made = from_json(state)
    assert not isinstance(made, Rejection)
    return encode(*made)


NEW = value_of(opened("10:00"))
ANSWERED = value_of(opened("10:00"), responded("10:05"))
ENDED = value_of(opened("10:00", of="other"), resolved("10:05", of="other"), of="other")


class FakeConsumer:
    """Polls the records of two partitions; what is appended later comes with the next poll."""

    def __init__(self, *records: tuple[str | bytes, bytes | None], faults: tuple[Exception, ...] = ()) -> None:
        self.log: list[Record] = []
        self.faults = list(faults)
        self.at = 0
        self.closed = threading.Event()
        self.polled = threading.Semaphore(0)
        for key, value in records:
            self.append(key, value)

    def append(self, key: str | bytes, value: bytes | None) -> None:
        self.log.append(Record(TOPIC, 0, len(self.log), key if isinstance(key, bytes) else key.encode(), value))

    def assign(self, partitions: list[Any]) -> None:
        assert partitions == PLACES

    def seek_to_beginning(self) -> None:
        self.at = 0

    def poll(self, timeout_ms: int = 0, max_records: int | None = None) -> Mapping[Any, list[Record]]:
        if self.faults:
            raise self.faults.pop(0)
        found = self.log[self.at : self.at + 1]
        self.at += len(found)
        if not found:
            self.polled.release()
            threading.Event().wait(0.001)
        return {PLACES[0]: found} if found else {}

    def end_offsets(self, partitions: list[Any]) -> Mapping[Any, int]:
        return {PLACES[0]: len(self.log), PLACES[1]: 0}

    def position(self, partition: Any) -> int | None:
        return self.at if partition == PLACES[0] else None

    def commit(self, offsets: Any = None, timeout_ms: int | None = None) -> None:
        pass

    def assignment(self) -> set[Any]:
        return set()

    def close(self, autocommit: bool = True, timeout_ms: int | None = None) -> None:
        self.closed.set()


@pytest.fixture
def view(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Opens views over a fake consumer, and closes them."""
    opened_views: list[IncidentStates] = []

    def open_view(consumer: FakeConsumer, **given: Any) -> IncidentStates:
        monkeypatch.setattr(states, "open_consumer", lambda *_: (consumer, frozenset([0, 1])))
        opened_views.append(IncidentStates("kafka:9092", **given))
        return opened_views[-1]

    yield open_view
    for each in opened_views:
        each.close()


def test_the_newest_state_of_each_incident_is_at_hand(view: Any) -> None:
    consumer = FakeConsumer(("inc", NEW), ("other", ENDED), ("inc", ANSWERED))
    found = view(consumer)
    found.wait_until_caught_up(timeout=TIMEOUT_S)
    assert sorted(found) == ["inc", "other"]
    assert len(found) == 2
    assert found["inc"].data["revision"] == 2
    assert found["inc"].position.offset == 2
    assert found.get("absent") is None
    assert {each.data["status"] for each in found.values()} == {"open", "resolved"}
    consumer.append("inc", None)
    while consumer.at < 4:
        assert consumer.polled.acquire(timeout=TIMEOUT_S)
    assert consumer.polled.acquire(timeout=TIMEOUT_S)
    assert list(found) == ["other"]
    found.close()
    assert consumer.closed.is_set()
    assert list(found) == ["other"], "what was read can still be looked up"


def test_only_wanted_states_are_stored(view: Any) -> None:
    def is_open(event: ReceivedEvent) -> bool:
        return bool(event.data["status"] == "open")

    ended = value_of(opened("10:00"), resolved("10:05"))
    found = view(FakeConsumer(("inc", NEW), ("other", ENDED)), keep=is_open)
    found.wait_until_caught_up(timeout=TIMEOUT_S)
    assert list(found) == ["inc"]
    found = view(FakeConsumer(("inc", NEW), ("inc", ended)), keep=is_open)
    found.wait_until_caught_up(timeout=TIMEOUT_S)
    assert list(found) == []


def test_too_many_incidents_are_an_error_that_says_what_to_do(view: Any) -> None:
    found = view(FakeConsumer(("inc", NEW), ("other", ENDED)), limit=1)
    with pytest.raises(ClientError, match="more than 1 incidents: raise `limit`, or store fewer"):
        found.wait_until_caught_up(timeout=TIMEOUT_S)
    with pytest.raises(ClientError):
        found.get("inc")


def test_an_outage_is_waited_for_and_a_refusal_is_told(view: Any) -> None:
    found = view(FakeConsumer(("inc", NEW), faults=(KafkaTimeoutError(),)))
    found.wait_until_caught_up(timeout=TIMEOUT_S)
    assert list(found) == ["inc"]
    found = view(FakeConsumer(("inc", NEW), faults=(TopicAuthorizationFailedError(),)))
    with pytest.raises(BrokerUnavailable, match="Kafka refuses to send states"):
        found.wait_until_caught_up(timeout=TIMEOUT_S)


def test_a_state_of_a_later_release_is_told_where_it_is_looked_up(view: Any) -> None:
    found = view(FakeConsumer(("inc", NEW), ("later", b"\xc3\x01" + bytes(8))))
    found.wait_until_caught_up(timeout=TIMEOUT_S)
    assert found["inc"].subject == "inc"
    with pytest.raises(UndecodableRecord):
        found["later"]


def test_with_keep_a_state_of_a_later_release_is_told_where_it_is_looked_up_too(view: Any) -> None:
    found = view(FakeConsumer(("later", b"\xc3\x01" + bytes(8)), ("inc", NEW)), keep=lambda _: True)
    found.wait_until_caught_up(timeout=TIMEOUT_S)
    assert found["inc"].subject == "inc"
    with pytest.raises(UndecodableRecord):
        found["later"]


@pytest.mark.parametrize("value", [NEW, b"garbage", None])
def test_a_record_whose_key_is_no_text_does_not_end_the_view(view: Any, value: bytes | None) -> None:
    found = view(FakeConsumer((b"\xff", value), ("inc", NEW)))
    found.wait_until_caught_up(timeout=TIMEOUT_S)
    assert list(found) == ["inc"]


def test_a_view_is_refused_in_a_process_that_was_forked_since(view: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread that follows the topic is not there: the view would stay as it was."""
    found = view(FakeConsumer(("inc", NEW)))
    found.wait_until_caught_up(timeout=TIMEOUT_S)
    with monkeypatch.context() as forked:
        forked.setattr(opened_in, "os", altered(os, getpid=lambda: -1))
        for use in (lambda: found["inc"], lambda: found.wait_until_caught_up(timeout=TIMEOUT_S)):
            with pytest.raises(ClientError, match="the view of states was opened before this process was forked"):
                use()
    assert found["inc"].subject == "inc"


def test_a_wait_has_an_end(view: Any) -> None:
    class Endless(FakeConsumer):
        def end_offsets(self, partitions: list[Any]) -> Mapping[Any, int]:
            return {PLACES[0]: 10}

    found = view(Endless(("inc", NEW)))
    with pytest.raises(TimeoutError, match=r"within 0\.05 s"):
        found.wait_until_caught_up(timeout=0.05)


def test_a_view_that_is_closed_before_its_end_does_not_say_that_it_is_complete(view: Any) -> None:
    class Endless(FakeConsumer):
        def end_offsets(self, partitions: list[Any]) -> Mapping[Any, int]:
            return {PLACES[0]: 10}

    found = view(Endless(("inc", NEW)))
    found.close()
    with pytest.raises(ClientError, match="closed before the states were read to their end"):
        found.wait_until_caught_up(timeout=TIMEOUT_S)


def test_a_view_that_has_failed_does_not_grow_with_each_access(view: Any) -> None:
    found = view(FakeConsumer(("inc", NEW), ("other", ENDED)), limit=1)
    depths = []
    for _ in range(5):
        with pytest.raises(ClientError) as caught:
            found.wait_until_caught_up(timeout=TIMEOUT_S)
        depths.append(len(caught.traceback))
    assert len(set(depths)) == 1


def test_a_subscription_tells_that_an_incident_is_no_longer_retained() -> None:
    consumer = FakeConsumer(("inc", NEW), ("inc", NEW), ("inc", None))
    subscription = Subscription(consumer, remember=0, states=True)
    found = []
    for event in subscription:
        found.append(event)
        if len(found) == 3:
            subscription.stop()
    assert [each.deleted for each in found] == [False, False, True]
    assert (found[2].type, found[2].subject, found[2].data) == ("incident.state", "inc", {})
    assert found[2].time.isoformat() == "2026-03-02T10:00:00+00:00"
    with pytest.raises(UndecodableRecord):
        list(Subscription(FakeConsumer(("inc", None))))


def test_a_subscription_gives_a_deletion_whose_key_is_no_text_to_whoever_takes_what_is_undecodable() -> None:
    told: list[UndecodableRecord] = []
    subscription = Subscription(
        FakeConsumer((b"\xff", None), ("inc", NEW)), remember=0, states=True, on_undecodable=told.append
    )
    found = next(iter(subscription))
    assert found.subject == "inc"
    assert [each.position.offset for each in told] == [0]


def test_what_vanishes_while_states_are_gone_through_is_left_out(view: Any) -> None:
    """As an open incident does that is resolved meanwhile, where only the open ones are kept."""
    consumer = FakeConsumer(("inc", NEW), ("other", ENDED))
    states_view = view(consumer)
    states_view.wait_until_caught_up(TIMEOUT_S)
    for pairs in (states_view.items(), ((state.subject, state) for state in states_view.values())):
        going = iter(pairs)
        next(going)
        consumer.append("other", None)
        while "other" in states_view:
            pass
        assert list(going) == []
        consumer.append("other", ENDED)
        while "other" not in states_view:
            pass


def test_a_state_whose_commit_is_refused_is_not_handled_for_ever() -> None:
    """A handler slower than `max_poll_interval_ms` loses its partitions each time, and reads the record again."""

    class Slow(FakeConsumer):
        refused = 0

        def poll(self, timeout_ms: int = 0, max_records: int | None = None) -> Mapping[Any, list[Record]]:
            found = {PLACES[0]: self.log[self.at : self.at + 20]}
            self.at = len(self.log)
            return found if found[PLACES[0]] else {}

        def commit(self, offsets: Any = None, timeout_ms: int | None = None) -> None:
            if self.refused < 4:
                self.refused += 1
                self.at = 0  # it joins again, and begins where the group is
                raise CommitFailedError

        def assignment(self) -> set[Any]:
            return set(PLACES)

    consumer = Slow(("inc", NEW), ("other", ENDED), ("inc", None), ("inc", NEW))
    seconds = iter(range(0, 10_000, 400))
    subscription = Subscription(consumer, states=True, seconds=lambda: next(seconds))
    seen = []
    for event in subscription:
        seen.append((event.subject, event.deleted))
        if len(seen) == 4:
            subscription.stop()
    assert seen == [("inc", False), ("other", False), ("inc", True), ("inc", False)]
