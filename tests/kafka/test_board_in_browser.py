"""From Kafka to the eye: a breach that is written to its topic appears on the live page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from board_server import served
from browser_board import started_chromium
from playwright.sync_api import expect
from replayed import replayed
from story import opened, policies, texts

from board.app import create_app
from board.changes import Changes
from board.ingest.records import IngestRecord
from board.ingest.thread import Ingest
from board.service import change_of
from board.settings import BoardSettings
from board.store.engine import open_engine
from board.store.schema import upgrade
from streams.kafka import kafka_python_clients
from streams.settings import Settings, read_settings
from streams.sla.instants import DAY, HOUR, SECOND, format_rfc3339
from streams.time_source import SystemTimeSource
from tests.waiting import TIMEOUT_S

pytestmark = pytest.mark.kafka


def publish(settings: Settings, records: Sequence[IngestRecord]) -> None:
    """Write the records to their topics, as an agent would."""
    producer = kafka_python_clients.producer(bootstrap_servers=settings.brokers)
    for each in records:
        topic = f"{settings.topic_prefix}.{each.topic}"
        producer.send(topic, key=each.key, value=each.value, headers=list(each.headers), partition=each.partition)
    producer.flush()
    producer.close()


def test_a_breach_appears_once_it_is_in_kafka(
    broker: str, topics: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLA_BROKERS", broker)
    monkeypatch.setenv("SLA_TOPIC_PREFIX", topics)
    settings, clock = read_settings(), SystemTimeSource()
    now = clock.now()
    line = opened(format_rfc3339(now - 2 * HOUR - 5 * SECOND), of="from-kafka")  # answered by nobody for two hours
    records = replayed(texts([line]), policies(), now)
    breach = max(number for number, each in enumerate(records) if each.topic == "alerts")  # behind three warnings
    engine = open_engine(f"sqlite:///{tmp_path}/board.db")
    upgrade(engine)
    changes = Changes()
    ingest = Ingest(
        engine,
        settings,
        retention=400 * DAY,
        on_applied=lambda applied, position: changes.publish(change_of(applied, position)),
    )
    app = create_app(
        engine, BoardSettings(), kafka=settings, policies=policies(), changes=changes, ingest=lambda: ingest.status
    )
    ingest.start()
    try:
        with started_chromium() as browser, served(app) as address:
            page = browser.new_page()
            page.goto(address)
            publish(settings, records[:breach])
            row = page.locator("#rows [data-id=from-kafka]")
            expect(row).to_be_visible()
            expect(row).not_to_contain_text("breach")
            publish(settings, records[breach:])
            expect(row).to_contain_text("1 breach")
            page.close()
    finally:
        ingest.stop(TIMEOUT_S)
        engine.dispose()
