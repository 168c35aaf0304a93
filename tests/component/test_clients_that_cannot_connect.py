"""A client that finds no broker, or that a broker refuses, ends whole: no thread of it goes on looking for one and
logging about it."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kafka.errors import KafkaError, TopicAuthorizationFailedError
from typer.testing import CliRunner

from cli.kafka_io.follower import Follower
from cli.kafka_io.topic_admin import apply_topics
from cli.main import app, main
from cli.services import notify_parked
from connect.client import BrokerUnavailable, IncidentPublisher, IncidentStates, consume_alerts
from connect.kafka_io import slow_answers
from connect.kafka_io.connection import BrokerProblem, check_reachable, explained
from connect.notify.page_store_rows import StateRow
from connect.notify.summaries import SummaryReader
from streams.kafka import aiokafka_clients
from streams.serde.codec import Codec
from streams.settings import Settings
from streams.time_source import SystemTimeSource
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


class Refused:
    """A client that is connected, and may neither read nor write."""

    closed = False

    def partitions_for_topic(self, topic: str) -> set[int]:
        raise TopicAuthorizationFailedError(topic)

    def send(self, topic: str, **_: object) -> None:
        raise TopicAuthorizationFailedError(topic)

    def close(self, **_: object) -> None:
        self.closed = True


def follow(address: str) -> None:
    Follower(address, ["sla.alerts"])


def look_up(address: str) -> None:
    IncidentStates(address)


@pytest.mark.parametrize(
    ("connect", "told"),
    [(consume, BrokerUnavailable), (look_up, BrokerUnavailable), (follow, TopicAuthorizationFailedError)],
)
def test_a_consumer_that_may_not_read_is_closed(
    connect: Callable[[str], None], told: type[Exception], nobody: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = Refused()
    monkeypatch.setattr("streams.kafka.kafka_python_clients.consumer", lambda **_: refused)
    with pytest.raises(told):
        connect(nobody)
    assert refused.closed


def test_a_producer_that_may_not_write_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = Refused()
    monkeypatch.setattr("streams.kafka.kafka_python_clients.producer", lambda **_: refused)
    with pytest.raises(BrokerProblem):
        notify_parked._write(Settings(), [(0, StateRow(b"key", None))])
    assert refused.closed


def test_the_reader_of_summaries_is_closed_where_no_broker_answers(
    nobody: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []

    def consumer(*given: Any, **options: Any) -> Any:
        made.append(make(*given, **options))
        return made[-1]

    async def read() -> None:
        reader = SummaryReader(Settings(brokers=nobody), Codec(), SystemTimeSource())
        running = asyncio.create_task(reader.run())
        while not told:
            await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.wait([running])

    told: list[object] = []
    make = aiokafka_clients.consumer
    monkeypatch.setattr(aiokafka_clients, "consumer", consumer)
    monkeypatch.setattr(SummaryReader, "_unavailable", lambda _, error: told.append(error))
    asyncio.run(read())
    assert [each._closed for each in made] == [True]


def test_the_log_of_the_client_is_heard_again_after_overlapping_requests() -> None:
    client = logging.getLogger("aiokafka")
    level = client.level
    first, second = explained(["a:1"]), explained(["b:1"])
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert client.level == logging.CRITICAL
    second.__exit__(None, None, None)
    assert client.level == level


@pytest.mark.parametrize("words", [("incidents", "list"), ("incidents", "show", "inc-1"), ("topics", "show")])
def test_a_command_says_at_once_that_nothing_listens(
    words: tuple[str, ...], nobody: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def later(**_: object) -> None:
        raise AssertionError("it would try again for seconds")

    monkeypatch.setattr("streams.kafka.kafka_python_clients.consumer", later)
    monkeypatch.setattr("streams.kafka.kafka_python_clients.admin", later)
    done = CliRunner().invoke(app, [*words, "--brokers", nobody])
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith(f"no Kafka broker answers at {nobody}")


def test_who_waits_for_kafka_is_told_where_the_first_answer_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(slow_answers, "_listeners", [])
    monkeypatch.setattr(slow_answers, "_SLOW_S", 0.05)
    monkeypatch.setattr("connect.kafka_io.connection.REQUEST_TIMEOUT_MS", 300)
    slow_answers.tell_slow_answers(told.append)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        where = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(BrokerProblem, match="does not answer in time"):
            check_reachable([where])
    assert told == [where]


def test_a_service_says_in_its_log_alone_that_kafka_does_not_answer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told: list[Callable[[str], None]] = []
    monkeypatch.setattr("cli.main.tell_slow_answers", told.append)
    monkeypatch.setattr("cli.main.app", lambda: None)
    for name in ("open_standard_streams", "end_on_closed_output", "end_as_ctrl_c_does"):
        monkeypatch.setattr(f"cli.main.{name}", lambda: None)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    main()
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    told[0]("k:1")
    monkeypatch.setattr(root, "handlers", [logging.NullHandler()])
    told[0]("k:2")
    assert capsys.readouterr().err == "Kafka at k:1 has not answered yet\n"
