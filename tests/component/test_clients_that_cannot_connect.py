"""A client that finds no broker ends whole: no thread of it goes on looking for one and logging about it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator

import pytest
from kafka.errors import KafkaError

from cli.kafka_io.topic_admin import apply_topics
from connect.client import BrokerUnavailable, IncidentPublisher, consume_alerts
from streams.topics import declared

BRIEFLY = {"bootstrap_timeout_ms": 200}


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address at which nothing listens, nor will as long as it is taken."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"


def network_threads() -> set[threading.Thread]:
    return {each for each in threading.enumerate() if each.name.startswith("kafka-")}


def publish(address: str) -> None:
    IncidentPublisher(address, "/desk", kafka=BRIEFLY)


def consume(address: str) -> None:
    consume_alerts(address, group="on-call", kafka=BRIEFLY)


def administer(address: str) -> None:
    apply_topics(address, declared())


@pytest.mark.parametrize("connect", [publish, consume, administer])
def test_nothing_of_it_lives_on(connect: Callable[[str], None], nobody: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.kafka_io.topic_admin._BOOTSTRAP_TIMEOUT_MS", 200)
    before = network_threads()
    with pytest.raises((BrokerUnavailable, KafkaError)):
        connect(nobody)
    assert network_threads() <= before
