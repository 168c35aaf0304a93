"""What the publisher of actions says about events that may be in Kafka: nobody is told that nothing was sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from connect.actions import publish
from connect.actions.publish import ActionPublisher
from connect.client import BrokerUnavailable, Delivery, DeliveryFailed, Position
from streams.settings import read_settings
from streams.time_source import SystemTimeSource

EVENTS = [{"id": "one"}, {"id": "two"}]


class Kafka:
    """In place of the client's publisher; `outcomes` has what becomes of each event in turn."""

    def __init__(self, outcomes: Sequence[Position | Exception | None]) -> None:
        self.outcomes = list(outcomes)

    def close(self) -> None:
        raise DeliveryFailed("it may or may not be there", [], retriable=True)

    def publish(self, event: dict[str, object]) -> Delivery:
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        delivery = Delivery(event)
        if outcome is not None:
            delivery.set_result(outcome)
        return delivery


def sent(monkeypatch: pytest.MonkeyPatch, *outcomes: Position | Exception | None) -> list[Position]:
    def connected(*_: Any, **__: Any) -> Kafka:
        return Kafka(outcomes)

    monkeypatch.setattr(publish, "Publisher", connected)
    monkeypatch.setattr(publish, "_ACKNOWLEDGED_S", 0.005)
    return ActionPublisher(read_settings(), "/sla/board", SystemTimeSource()).send(EVENTS)


def test_positions_are_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    positions = [Position("sla.incident-events", 0, offset) for offset in (4, 5)]
    assert sent(monkeypatch, *positions) == positions


def test_an_event_that_is_not_acknowledged_in_time_may_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DeliveryFailed, match="has not acknowledged in time") as caught:
        sent(monkeypatch, None, None)
    assert caught.value.retriable


def test_when_kafka_goes_away_between_two_events_the_first_may_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DeliveryFailed, match="after 1 of 2 events: no broker") as caught:
        sent(monkeypatch, None, BrokerUnavailable("no broker"))
    assert caught.value.retriable


def test_when_kafka_is_away_from_the_start_nothing_was_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BrokerUnavailable, match="no broker"):
        sent(monkeypatch, BrokerUnavailable("no broker"))


def test_closing_does_not_hide_what_came_of_an_action(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever sent what is not acknowledged was told, with the id of the attempt; the command prints that."""
    monkeypatch.setattr(publish, "Publisher", lambda *_, **__: Kafka([None, BrokerUnavailable("no broker")]))
    publisher = ActionPublisher(read_settings(), "/sla/cli", SystemTimeSource())
    with pytest.raises(DeliveryFailed, match="after 1 of 2"):
        publisher.send(EVENTS)
    publisher.close()
