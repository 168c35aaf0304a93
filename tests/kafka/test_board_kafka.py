"""The board's ingest against a real broker: exactly once through kill -9, outages, and topics that are created anew."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random  # noqa: TID251 -- seeded
from threading import Event, Thread

import pytest
from board_history import NOW, story
from databases import new_database, start_postgresql
from on_kafka import PARTITIONS
from replayed import replayed
from slow_model import dump, slow_model
from story import policies

from board.ingest.rebuild import rebuild
from board.ingest.records import TOPICS, IngestRecord
from board.ingest.thread import Ingest
from board.store.engine import open_engine
from board.store.schema import upgrade
from cli.kafka_io.topic_admin import apply_topics
from connect.kafka_io.reader import read_topics
from streams.kafka import kafka_python_clients
from streams.settings import Settings, read_settings
from streams.sla.instants import DAY
from streams.topics import declared
from tests.preloaded import start
from tests.waiting import wait

pytestmark = pytest.mark.kafka

ALWAYS = 40_000 * DAY
KILLS = 3
INGESTING = Path(__file__).with_name("ingesting_process.py")
IMPORTED = ("board.ingest.thread", "board.store.schema", "sqlite3", "psycopg")


@pytest.fixture(scope="module")
def history() -> list[IngestRecord]:
    return replayed(story(40), policies(), NOW)


@pytest.fixture
def settings(broker: str, topics: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("SLA_BROKERS", broker)
    monkeypatch.setenv("SLA_TOPIC_PREFIX", topics)
    monkeypatch.setenv("SLA_LOG_LEVEL", "WARNING")
    return read_settings()


@pytest.fixture(scope="module")
def postgresql() -> Iterator[str]:
    """The URL of a PostgreSQL server."""
    with start_postgresql() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/board.db"
    return new_database(request.getfixturevalue("postgresql"))


def publish(settings: Settings, records: Sequence[IngestRecord]) -> None:
    """Write the records to their partitions."""
    keep_publishing(settings, records, None)


def keep_publishing(settings: Settings, records: Sequence[IngestRecord], enough: Event | None) -> None:
    """Write the records again and again until it is enough, some hundreds a second; without `enough` once. They are
    dated now: Kafka would delete those of the history's first weeks while the test runs."""
    producer = kafka_python_clients.producer(bootstrap_servers=settings.brokers, linger_ms=5)
    while True:
        for number, each in enumerate(records):
            producer.send(
                f"{settings.topic_prefix}.{each.topic}",
                key=each.key,
                value=each.value,
                headers=list(each.headers),
                partition=each.partition,
            )
            if enough is not None and number % 50 == 0 and enough.wait(0.1):
                break
        if enough is None or enough.is_set():
            break
    producer.flush()
    producer.close()


def in_topics(settings: Settings) -> list[IngestRecord]:
    """Everything that a read_committed reader finds."""
    names = [f"{settings.topic_prefix}.{topic}" for topic in TOPICS]
    found = [
        IngestRecord(each.topic.removeprefix(f"{settings.topic_prefix}."), *each[1:])
        for each in read_topics(settings.bootstrap(), names)
    ]
    return sorted(found, key=lambda each: (each.topic, each.partition, each.offset))


def caught_up(ingest: Ingest) -> None:
    wait(lambda: ingest.status.reached_end and ingest.status.lag == 0, lambda: f"{ingest.status}")


def test_kill_9_under_load_leaves_what_follows_from_the_topics(
    settings: Settings, history: list[IngestRecord], url: str
) -> None:
    """Each record is applied once, whenever the process dies: the database is what a fold of the topics gives."""
    enough = Event()
    load = Thread(target=keep_publishing, args=(settings, history, enough))
    load.start()
    random, positions = Random(1), []
    for _ in range(KILLS):
        reading, writing = os.pipe()
        process = start([str(INGESTING), url], IMPORTED, output=writing)
        os.close(writing)
        wanted = random.randrange(1, 8)
        said = open(reading, encoding="utf-8")  # noqa: SIM115 -- it is closed when the process has ended
        try:
            for line in said:
                if line.startswith("position "):
                    positions.append(int(line.removeprefix("position ")))
                    wanted -= 1
                if wanted == 0:
                    break
        finally:
            process.kill()
            process.wait()
            said.close()
    enough.set()
    load.join()
    engine = open_engine(url)
    ingest = Ingest(engine, settings, retention=ALWAYS)
    ingest.start()
    caught_up(ingest)
    ingest.stop()
    records = in_topics(settings)
    with engine.connect() as connection:
        found = dump(connection)
    expected = slow_model(records, settings.topic_prefix)
    for name, rows in expected.items():
        assert not {*found[name]} ^ {*rows}, name
    assert found == expected
    assert positions == sorted(set(positions))
    assert len(positions) > KILLS
    before = found
    status = rebuild(engine, settings, retention=ALWAYS)
    with engine.connect() as connection:
        assert dump(connection) == before
    assert status.read == status.total
    engine.dispose()


def test_a_topic_that_is_created_anew_is_refused_until_a_rebuild(
    settings: Settings, history: list[IngestRecord], tmp_path: Path
) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/board.db")
    upgrade(engine)
    alerts = [each for each in history if each.topic == "alerts"]
    publish(settings, alerts[:50])
    ingest = Ingest(engine, settings, retention=ALWAYS)
    ingest.start()
    caught_up(ingest)
    ingest.stop()
    admin = kafka_python_clients.admin(bootstrap_servers=settings.brokers)
    admin.delete_topics([f"{settings.topic_prefix}.alerts"])
    admin.close()
    again = Ingest(engine, settings, retention=ALWAYS)
    again.start()
    wait(lambda: "has no topic" in str(again.status.failure), lambda: f"{again.status}")
    apply_topics(settings.brokers, declared(settings.topic_prefix, PARTITIONS))
    publish(settings, alerts[:60])
    wait(lambda: "created anew" in str(again.status.failure), lambda: f"{again.status}")
    assert "sla board --rebuild" in str(again.status.failure)
    again.stop()
    rebuild(engine, settings, retention=ALWAYS)
    with engine.connect() as connection:
        assert dump(connection) == slow_model(in_topics(settings), settings.topic_prefix)
    engine.dispose()


def test_a_broker_that_is_away_is_told_and_waited_for(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/board.db")
    upgrade(engine)
    ingest = Ingest(engine, read_settings(brokers="127.0.0.1:1"), retention=ALWAYS)
    ingest.start()
    wait(lambda: "127.0.0.1:1" in str(ingest.status.failure), lambda: f"{ingest.status}")
    assert not ingest.status.reached_end
    ingest.stop()
    engine.dispose()


def test_a_database_that_goes_away_is_told_and_read_on_when_it_is_back(
    settings: Settings, history: list[IngestRecord], postgresql: str
) -> None:
    alerts = [each for each in history if each.topic == "alerts"]
    engine = open_engine(new_database(postgresql))
    upgrade(engine)
    ingest = Ingest(engine, settings, retention=ALWAYS)
    ingest.start()
    caught_up(ingest)
    name = engine.url.database
    admin = open_engine(postgresql).connect().execution_options(isolation_level="AUTOCOMMIT")
    admin.exec_driver_sql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    admin.exec_driver_sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
    publish(settings, alerts[:50])
    wait(lambda: "the database" in str(ingest.status.failure), lambda: f"{ingest.status}")
    admin.exec_driver_sql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    wait(lambda: ingest.status.failure is None and ingest.status.applied >= 50, lambda: f"{ingest.status}")
    ingest.stop()
    with engine.connect() as connection:
        assert dump(connection) == slow_model(in_topics(settings), settings.topic_prefix)
    admin.close()
    admin.engine.dispose()
    engine.dispose()
