"""`sla board` against a real broker: what is published arrives at an open connection, and a rebuild gives the same."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from on_kafka import Run

from streams.sla.instants import format_rfc3339
from streams.time_source import SystemTimeSource
from tests.preloaded import start
from tests.preloaded.commands import IMPORTS
from tests.waiting import TIMEOUT_S, wait

pytestmark = pytest.mark.kafka

_EVENT = {
    "specversion": "1.0",
    "id": "e-1",
    "type": "incident.opened",
    "source": "/monitors",
    "subject": "inc-1",
    "time": format_rfc3339(SystemTimeSource().now()),
    "data": {"scope": "platform", "component": "api", "impact": "complete_outage", "channel": "monitor"},
}
_COMMAND = ["-c", "from cli.main import main; main()", "board", "--port", "0"]


@pytest.fixture
def database(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/board.db"


@pytest.fixture
def address(broker: str, topics: str, database: str, tmp_path: Path) -> Iterator[str]:
    """A board that has read the topics to their end."""
    log = tmp_path / "board.log"
    environment = {
        **os.environ,
        "SLA_BROKERS": broker,
        "SLA_TOPIC_PREFIX": topics,
        "SLA_LOG_FORMAT": "json",
        "SLA_BOARD_DATABASE_URL": database,
    }
    with log.open("wb") as output:
        process = start(_COMMAND, IMPORTS["board"], env=environment, output=output)
    try:

        def reached_end() -> bool:
            assert process.poll() is None, log.read_text()
            return "ingest_reached_end" in log.read_text()

        wait(reached_end, log.read_text)
        yield next(json.loads(line)["address"] for line in log.read_text().splitlines() if "board_started" in line)
        process.terminate()
        assert process.wait(TIMEOUT_S) == 0
    finally:
        process.kill()
        process.wait()


def test_what_is_published_arrives_at_an_open_connection_and_is_built_again(
    run: Run, address: str, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.logs.configure_logs", lambda **_: None)  # logs stay those of the tests

    def asked(path: str) -> Any:
        return httpx.get(address + path, timeout=TIMEOUT_S).json()

    wait(lambda: asked("/ready") == {"ready": True, "reasons": []}, lambda: asked("/ready"))
    with httpx.stream("GET", f"{address}/api/v1/changes", timeout=TIMEOUT_S) as stream:
        lines = stream.iter_lines()
        assert next(lines) == "retry: 2000"
        published = run("publish", "-", "--no-wait", stdin=json.dumps(_EVENT).encode())
        assert published.exit_code == 0, published.output
        data = next(json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: "))
    assert data["incidents"] == ["inc-1"]
    assert asked("/api/v1/system")["position"] == data["position"]

    rebuilt = run("board", "--rebuild", "--database", database)
    assert rebuilt.exit_code == 0, rebuilt.output
    assert "read model built anew: " in rebuilt.output
    assert asked("/api/v1/system")["position"] == data["position"]
