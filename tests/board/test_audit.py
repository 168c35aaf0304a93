"""Audit events: written with what they tell of, sent in their order, none lost and none changed."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from board_rows import NOW
from kafka.errors import KafkaConnectionError, KafkaTimeoutError
from signed_in import MovingClock, access_app, board_settings, browser, csrf_of, token_of
from sqlalchemy import Engine, func, select

from board.access.audit import MOST_DENIALS, AuditLog
from board.access.audit_sender import AuditSender
from board.access.identity import RequestSender
from board.access.rate_limit import MOST_PER_ADDRESS
from board.metrics import BoardMetrics
from board.service import sending
from board.store.own_tables import audit_outbox, session
from connect.actions.person import Person, Role
from streams.serde.cloudevents_json import to_json
from streams.serde.codec import decode
from streams.settings import Settings
from streams.sla.events import Rejection
from tests.waiting import TIMEOUT_S, wait


class Sent(NamedTuple):
    topic: str
    key: str
    event: dict[str, Any]
    headers: dict[str, bytes]


class Future:
    def __init__(self, error: Exception | None) -> None:
        self.error = error

    def get(self, timeout: float) -> None:
        if self.error is not None:
            raise self.error


class MemoryProducer:
    """Keeps what is sent; from the `fails_at`th event on, nothing is acknowledged."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.sent: list[Sent] = []
        self.closed = False
        self._fails_at = fails_at

    def partitions_for(self, topic: str) -> set[int]:
        return {0, 1, 2}

    def send(self, topic: str, *, key: bytes, value: bytes, headers: list[tuple[str, bytes]], partition: int) -> Future:
        found = decode(value)
        assert not isinstance(found, Rejection)
        self.sent.append(Sent(topic, key.decode(), to_json(*found), dict(headers)))
        failed = self._fails_at is not None and len(self.sent) >= self._fails_at
        return Future(KafkaTimeoutError("no answer") if failed else None)

    def flush(self, timeout: float | None = None) -> None:
        return None

    def close(self, timeout: float | None = None) -> None:
        self.closed = True


def waiting(engine: Engine) -> int:
    with engine.connect() as connection:
        return connection.execute(select(func.count()).select_from(audit_outbox)).scalar_one()


def walk(engine: Engine, directory: Path) -> str:
    """A wrong token, a sign-in, a refusal, a sign-out; the token."""
    settings = board_settings(directory)
    client = browser(access_app(engine, settings, MovingClock(NOW)), client=("192.0.2.7", 5))
    client.post("/sign-in", data={"token": "wrong"})
    token = token_of(settings, "pat", Role.VIEWER, tenants={"acme"})
    client.post("/sign-in", data={"token": token})
    client.get("/system")
    client.post("/sign-out", data={"csrf_token": csrf_of(client.get("/").text)})
    return token


def test_events_are_sent_in_their_order_and_have_no_secret(empty_read_model: Engine, tmp_path: Path) -> None:
    token = walk(empty_read_model, tmp_path)
    producer = MemoryProducer()
    sender = AuditSender(empty_read_model, Settings(topic_prefix="eu.sla"), lambda: producer)
    assert sender.send_waiting() == 4
    assert sender.send_waiting() == 0
    assert [each.event["type"] for each in producer.sent] == [
        "audit.sign_in_failed",
        "audit.signed_in",
        "audit.denied",
        "audit.signed_out",
    ]
    assert [each.key for each in producer.sent] == ["192.0.2.7", "pat", "pat", "pat"]
    assert {each.topic for each in producer.sent} == {"eu.sla.audit"}
    assert len({each.event["id"] for each in producer.sent}) == 4
    denied = producer.sent[2]
    assert denied.headers["ce_type"] == b"audit.denied"
    assert denied.event["data"] == {
        "person": "pat",
        "roles": ["viewer"],
        "tenants": ["acme"],
        "address": "192.0.2.7",
        "way": "session",
        "what": "read-system",
        "about": "GET /system",
        "outcome": "denied",
        "reason": "read-system shows data of all tenants; pat is limited to some. Ask somebody without a limit",
    }
    assert token not in str(producer.sent)
    assert "wrong" not in str([each.event["data"].get("reason") for each in producer.sent])


def test_what_is_not_acknowledged_waits_and_is_sent_again_with_the_same_id(
    empty_read_model: Engine, tmp_path: Path
) -> None:
    walk(empty_read_model, tmp_path)
    first = MemoryProducer(fails_at=3)
    with pytest.raises(KafkaTimeoutError):
        AuditSender(empty_read_model, Settings(), lambda: first).send_waiting()
    assert waiting(empty_read_model) == 4
    second = MemoryProducer()
    assert AuditSender(empty_read_model, Settings(), lambda: second).send_waiting() == 4
    assert first.sent == second.sent
    assert waiting(empty_read_model) == 0


def test_sign_in_works_without_kafka_and_its_event_is_sent_later(empty_read_model: Engine, tmp_path: Path) -> None:
    def away() -> MemoryProducer:
        raise KafkaConnectionError

    walk(empty_read_model, tmp_path)
    with pytest.raises(KafkaConnectionError):
        AuditSender(empty_read_model, Settings(), away).send_waiting()
    assert waiting(empty_read_model) == 4


def test_a_defect_does_not_end_the_thread_that_sends(
    empty_read_model: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    walk(empty_read_model, tmp_path)
    producers: list[MemoryProducer] = []

    def connect() -> MemoryProducer:
        if not producers:
            monkeypatch.setattr("board.access.audit_sender.partition_of", lambda *_: 1 // 0)
        else:
            monkeypatch.undo()
        producers.append(MemoryProducer())
        return producers[-1]

    sender = sending(AuditSender(empty_read_model, Settings(), connect), again_s=0.01)
    sender.start()
    wait(lambda: waiting(empty_read_model) == 0)
    sender.stop(TIMEOUT_S)
    assert len(producers) == 2
    assert producers[0].closed


def test_a_sign_in_that_is_not_committed_has_no_event(empty_read_model: Engine, tmp_path: Path) -> None:
    settings = board_settings(tmp_path)
    app = access_app(empty_read_model, settings, MovingClock(NOW))

    def fail(*_: object) -> None:
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        app.state.sign_in.sessions.begin(
            Person("kim", "Kim", frozenset()),
            also=lambda connection: (
                app.state.sign_in.audit.signed_in(connection, Person("kim", "Kim", frozenset()), "a", "token"),
                fail(),
            ),
        )
    assert waiting(empty_read_model) == 0
    with empty_read_model.connect() as connection:
        assert connection.execute(select(session)).all() == []


def test_refusals_to_one_person_are_bounded_and_do_not_hide_those_of_others(empty_read_model: Engine) -> None:
    log = AuditLog(empty_read_model, MovingClock(NOW))
    kim, lee = (Person(name, name, frozenset()) for name in ("kim", "lee"))
    for _ in range(MOST_DENIALS + 20):
        log.denied(RequestSender(kim, "192.0.2.7", "token"), "read-system", "GET /system", "no role")
    log.denied(RequestSender(lee, "192.0.2.7", "token"), "read-system", "GET /system", "no role")
    assert waiting(empty_read_model) == MOST_DENIALS + 1


def test_failures_are_counted_by_reason_and_without_names(empty_read_model: Engine, tmp_path: Path) -> None:
    settings = board_settings(tmp_path)
    app = access_app(empty_read_model, settings, MovingClock(NOW))
    client = browser(app, client=("192.0.2.7", 5))

    def failures() -> dict[str, str]:
        text = client.get("/metrics").text
        return dict(re.findall(r'^sla_board_sign_in_failures_total\{reason="(\w+)"\} (\S+)$', text, re.MULTILINE))

    assert set(failures().values()) == {"0.0"}
    for _ in range(MOST_PER_ADDRESS + 2):
        client.post("/sign-in", data={"token": "wrong"})
    assert failures() == {"unknown_token": "10.0", "too_many": "2.0", "provider": "0.0", "untrusted_address": "0.0"}


def test_what_waits_for_kafka_is_measured(
    empty_read_model: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    walk(empty_read_model, tmp_path)
    metrics, there = BoardMetrics(), threading.Event()

    def connect() -> MemoryProducer:
        if not there.is_set():
            raise KafkaConnectionError
        return MemoryProducer()

    sender = sending(AuditSender(empty_read_model, Settings(), connect, metrics), again_s=0.01)
    measured = lambda: metrics.registry.get_sample_value("sla_board_audit_waiting_events")  # noqa: E731
    sender.start()
    wait(lambda: measured() == 4)
    there.set()
    wait(lambda: measured() == 0)
    sender.stop(TIMEOUT_S)


def test_refusals_that_would_fill_the_disk_are_dropped(
    empty_read_model: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("board.access.audit.MOST_WAITING", 5)
    log = AuditLog(empty_read_model, MovingClock(NOW))
    for number in range(20):
        log.sign_in_failed(f"192.0.2.{number}", "token", "unknown token")
    assert waiting(empty_read_model) == 6
