"""What the board shows of the workers: partitions, what stands still, and what is not known."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event

import pytest
from board_history import NOW
from board_rows import add_incident, app_of
from fastapi.testclient import TestClient
from page_client import page_client, shown
from pydantic import ValidationError
from sqlalchemy import Engine

from board.service import watching
from board.settings import BoardSettings
from board.store.engine import writing
from board.workers import StoppedTasks, WorkersStatus, WorkerWatch, partition_health
from connect.kafka_io.connection import BrokerProblem
from streams.sla.instants import DAY, HOUR, MINUTE, SECOND, format_rfc3339
from streams.worker_progress import PartitionState, TaskProgress, WorkerProgress
from tests.unit.memory_clock import Stopped
from tests.waiting import TIMEOUT_S

#: As much of an incident's state as the page reads.
STATE = json.dumps({"policy": {"digest": "0" * 64}})


def progress(
    *, at: int = NOW, unread: int = 0, committed_at: int | None = NOW - HOUR, workers: int | None = 2
) -> WorkerProgress:
    """Two partitions; input of incident partition 1 waits if `unread`, and statements wait for it."""
    partitions = (PartitionState(0, NOW - MINUTE, 0, False), PartitionState(1, NOW - DAY, unread, unread > 0))
    tasks = (
        TaskProgress("incidents", 0, NOW - SECOND, NOW - SECOND, 0, 0),
        TaskProgress("incidents", 1, NOW - 2 * HOUR, committed_at, unread, 3),
        TaskProgress("ledger", 0, NOW - SECOND, NOW - SECOND, 0, 0),
        TaskProgress("ledger", 1, None, None, 0, 0),
    )
    return WorkerProgress(partitions, tasks, {1: NOW - HOUR} if unread else {}, workers, at)


def test_a_task_that_applies_nothing_for_a_minute_though_input_waits_is_stopped() -> None:
    tasks = StoppedTasks()
    assert tasks.observe(progress(unread=4)) == frozenset()
    assert tasks.observe(progress(at=NOW + 59 * SECOND, unread=5)) == frozenset()
    assert tasks.observe(progress(at=NOW + 60 * SECOND, unread=5)) == {("incidents", 1)}
    assert tasks.observe(progress(at=NOW + 61 * SECOND, unread=3, committed_at=NOW + 61 * SECOND)) == frozenset()
    assert tasks.observe(progress(at=NOW + 120 * SECOND, unread=3, committed_at=NOW + 61 * SECOND)) == frozenset()
    assert tasks.observe(progress(at=NOW + 121 * SECOND, unread=3, committed_at=NOW + 61 * SECOND)) == {
        ("incidents", 1)
    }


def test_a_task_that_has_read_everything_is_not_stopped_and_begins_anew() -> None:
    tasks = StoppedTasks()
    tasks.observe(progress(unread=4))
    assert tasks.observe(progress(at=NOW + HOUR)) == frozenset()
    assert tasks.observe(progress(at=NOW + HOUR + SECOND, unread=1)) == frozenset()


def test_without_a_worker_every_task_with_input_is_stopped_at_once() -> None:
    assert StoppedTasks().observe(progress(unread=1, workers=0)) == {("incidents", 1)}
    assert StoppedTasks().observe(progress(unread=1, workers=None)) == frozenset()


def test_the_watch_keeps_the_latest_beside_a_failure_and_connects_again() -> None:
    read, failed, again = Event(), Event(), Event()
    connected: list[int] = []

    class Reader:
        def __init__(self, number: int) -> None:
            self.number = number
            self.reads = 0

        def read(self) -> WorkerProgress:
            self.reads += 1
            if self.number == 2 and self.reads == 1:
                failed.set()
                read.wait(TIMEOUT_S)
                raise BrokerProblem("no Kafka broker answers at kafka:9092")
            if self.number >= 3:
                again.set()
                raise RuntimeError("a bug")
            return progress()

    @contextmanager
    def connect() -> Iterator[Reader]:
        connected.append(len(connected) + 1)
        if connected[-1] == 1:
            raise BrokerProblem("no Kafka broker answers at kafka:9092")
        yield Reader(connected[-1])

    watch = WorkerWatch(connect)
    thread = watching(watch, 0.001)
    assert watch.status == WorkersStatus()
    thread.start()
    assert failed.wait(TIMEOUT_S)
    assert watch.status.failure == "no Kafka broker answers at kafka:9092"
    watch.note(progress())
    read.set()
    assert again.wait(TIMEOUT_S)
    thread.stop(TIMEOUT_S)
    assert watch.status.progress == progress(), "what was read before a failure is kept"
    assert watch.status.failure is not None


def test_a_page_and_the_api_show_each_partition(empty_read_model: Engine) -> None:
    with writing(empty_read_model).begin() as connection:
        add_incident(connection, "late", partition=1, next_at=NOW - HOUR, data=STATE)
        add_incident(connection, "in-time", partition=0, next_at=NOW + HOUR, data=STATE)
    status = WorkersStatus(progress(unread=1200), None, frozenset({("incidents", 1)}))
    text = shown(page_client(empty_read_model, NOW, workers=lambda: status).get("/system").text)
    assert "2 workers are running." in text
    assert "1,200 +3" in text
    assert "✕ incidents task halted or without a worker ✕ statements wait for it" in text
    assert "✓ no problem seen" in text
    client = TestClient(
        app_of(empty_read_model, workers=lambda: status, time_source=Stopped(NOW)), base_url="http://127.0.0.1"
    )
    found = client.get("/api/v1/system").json()["workers"]
    assert (found["failure"], found["read_at"], found["workers"]) == (None, format_rfc3339(NOW), 2)
    assert found["statements_until"] == format_rfc3339(NOW - DAY)
    first, second = found["partitions"]
    assert not first["incidents"]["stopped"]
    assert not first["waited_for"]
    assert first["overdue_timers"] == 0
    assert second["incidents"] == {
        "reached": format_rfc3339(NOW - 2 * HOUR),
        "committed_at": format_rfc3339(NOW - HOUR),
        "unread": 1200,
        "unread_internal": 3,
        "stopped": True,
    }
    assert second["ledger"]["reached"] is None
    assert second["watermark"] == format_rfc3339(NOW - DAY)
    assert second["awaited"] == format_rfc3339(NOW - HOUR)
    assert second["waited_for"]
    assert (second["overdue_timers"], second["overdue_since"]) == (1, format_rfc3339(NOW - HOUR))


def test_what_is_not_known_is_said(empty_read_model: Engine) -> None:
    assert "Not known yet" in shown(page_client(empty_read_model, NOW).get("/system").text)
    status = WorkersStatus(None, "no Kafka broker answers at <b>")
    html = page_client(empty_read_model, NOW, workers=lambda: status).get("/system").text
    assert "The progress of the workers is not known: no Kafka broker answers at &lt;b&gt;" in html
    assert "<b>" not in html
    older = WorkersStatus(progress(at=NOW - 5 * MINUTE), "Kafka did not answer in time")
    text = shown(page_client(empty_read_model, NOW, workers=lambda: older).get("/system").text)
    assert "Read from Kafka: 5 min ago" in text
    client = TestClient(app_of(empty_read_model, workers=lambda: older), base_url="http://127.0.0.1")
    found = client.get("/api/v1/system").json()["workers"]
    assert found["failure"] == "Kafka did not answer in time"
    assert found["read_at"] == format_rfc3339(NOW - 5 * MINUTE)
    assert partition_health(WorkersStatus(), {}) == ()


def test_no_worker_is_said_in_both_languages(empty_read_model: Engine) -> None:
    status = WorkersStatus(progress(workers=0))
    client = page_client(empty_read_model, NOW, workers=lambda: status)
    assert "No worker is running" in client.get("/system").text
    assert "稼働中のワーカーがありません" in client.get("/system?lang=ja").text


def test_the_interval_is_a_second_at_least(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLA_BOARD_WORKERS_EVERY", "PT0.5S")
    with pytest.raises(ValidationError, match="must be PT1S or longer"):
        BoardSettings()
