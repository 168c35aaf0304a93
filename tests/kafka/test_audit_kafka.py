"""Audit events reach Kafka: all of them, through kill -9 at any moment, and the sign-in does not wait for them."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest

from board.access.tokens import add_token
from connect.actions.person import Person, Role
from connect.kafka_io.reader import read_topics
from streams.serde.codec import decode
from streams.sla.events import Rejection
from streams.time_source import SystemTimeSource
from tests.preloaded import PreloadedProcess, start
from tests.preloaded.commands import IMPORTS
from tests.waiting import TIMEOUT_S, wait

pytestmark = pytest.mark.kafka

_COMMAND = ["-c", "from cli.main import main; main()", "board", "--port", "0"]
_PAUSES_S = (0.0, 0.6)


@contextmanager
def board(environment: dict[str, str], log: Path) -> Iterator[tuple[PreloadedProcess, str]]:
    """A board process and its address; it is killed at the end."""
    with log.open("wb") as output:
        process = start(_COMMAND, IMPORTS["board"], env=environment, output=output)
    try:

        def started() -> bool:
            assert process.poll() is None, log.read_text()
            return "board_started" in log.read_text()

        wait(started, log.read_text)
        lines = [line for line in log.read_text().splitlines() if "board_started" in line]
        yield process, json.loads(lines[0])["address"]
    finally:
        process.kill()
        process.wait()


def waiting(database: Path) -> int:
    with closing(sqlite3.connect(database)) as connection:
        return int(connection.execute("SELECT count(*) FROM audit_outbox").fetchone()[0])


def test_no_event_is_lost_when_the_board_is_killed(broker: str, topics: str, tmp_path: Path) -> None:
    tokens, database = tmp_path / "tokens.json", tmp_path / "board.db"
    token = add_token(tokens, Person("kim", "Kim", frozenset({Role.VIEWER})), SystemTimeSource().now())
    environment = {
        **os.environ,
        "SLA_BROKERS": broker,
        "SLA_TOPIC_PREFIX": topics,
        "SLA_LOG_FORMAT": "json",
        "SLA_BOARD_DATABASE_URL": f"sqlite:///{database}",
        "SLA_BOARD_TOKENS": str(tokens),
    }
    sign_ins = 0
    for number, pause in enumerate(_PAUSES_S):
        with board(environment, tmp_path / f"{number}.log") as (process, address):
            for _ in range(4):
                assert httpx.post(f"{address}/sign-in", data={"token": token}, timeout=TIMEOUT_S).status_code == 303
                sign_ins += 1
            time.sleep(pause)  # killed before or while events are sent, and after they are
            process.kill()
    with board(environment, tmp_path / "last.log"):
        wait(lambda: waiting(database) == 0, (tmp_path / "last.log").read_text)
    found = audit_events(broker, f"{topics}.audit")
    assert len({each["event_id"] for each in found}) == sign_ins
    assert {each["person"] for each in found} == {"kim"}
    assert len({json.dumps(each, sort_keys=True) for each in found}) == sign_ins  # the same content under one id


def audit_events(broker: str, topic: str) -> list[dict[str, object]]:
    """Every event of a topic, as it is now."""
    found = []
    for record in read_topics([broker], [topic]):
        decoded = decode(record.value)
        assert not isinstance(decoded, Rejection)
        assert decoded[0] == "audit.signed_in"
        found.append(decoded[1])
    return found
