"""`sla board` as a process: what it needs to start, and that it ends in time, whatever is open and without Kafka."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from board import service
from board.settings import BoardSettings
from cli.main import app
from streams.settings import Settings
from tests.waiting import TIMEOUT_S, wait

COMMAND = [sys.executable, "-c", "from cli.main import main; main()", "board", "--port", "0"]
#: Nobody listens there.
NOBODY = "127.0.0.1:9"


@contextmanager
def running(directory: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    log = directory / "board.log"
    environment = {
        **os.environ,
        "SLA_BROKERS": NOBODY,
        "SLA_LOG_FORMAT": "json",
        "SLA_BOARD_DATABASE_URL": f"sqlite:///{directory}/data/board.db",
    }
    with log.open("wb") as output:
        process = subprocess.Popen(COMMAND, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment)
    try:
        wait(lambda: "board_started" in log.read_text() or process.poll() is not None)
        assert process.poll() is None, log.read_text()
        started = next(line for line in log.read_text().splitlines() if "board_started" in line)
        yield process, json.loads(started)["address"]
    finally:
        process.kill()
        process.wait()


def test_it_serves_without_kafka_says_so_and_ends_in_time_with_open_streams(tmp_path: Path) -> None:
    with running(tmp_path) as (process, address):
        assert httpx.get(f"{address}/api/v1/incidents", timeout=TIMEOUT_S).json() == {
            "incidents": [],
            "next_cursor": None,
        }
        assert httpx.get(f"{address}/live", timeout=TIMEOUT_S).status_code == 200

        def reason() -> str:
            (found,) = httpx.get(f"{address}/ready", timeout=TIMEOUT_S).json()["reasons"]
            return str(found["reason"])

        wait(lambda: NOBODY in reason())
        with httpx.stream("GET", f"{address}/api/v1/changes", timeout=TIMEOUT_S) as stream:
            lines = stream.iter_lines()
            assert next(lines) == "retry: 2000"
            process.send_signal(signal.SIGTERM)
            assert list(lines) == [""]
            assert process.wait(TIMEOUT_S) == 0


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--host", "0.0.0.0"], "SLA_BOARD_HOST: '0.0.0.0' is not a loopback address. With SLA"),
        (["--port", "70000"], "SLA_BOARD_PORT: '70000' can't be used; allowed: a port, 0 to 65535"),
        (["--database", "mysql://db/x"], "SLA_BOARD_DATABASE_URL: "),
        (["--database", "sqlite:////proc/none/board.db"], "/proc/none"),
        (["--rebuild"], f"no Kafka broker answers at {NOBODY}"),
    ],
)
def test_a_wrong_setting_ends_it_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], reason: str
) -> None:
    monkeypatch.setenv("SLA_BROKERS", NOBODY)
    monkeypatch.setenv("SLA_BOARD_DATABASE_URL", f"sqlite:///{tmp_path}/board.db")
    monkeypatch.setattr("streams.logs.configure_logs", lambda **_: None)
    ended = CliRunner().invoke(app, ["board", "--port", "0", *options])
    assert ended.exit_code == 2
    assert reason in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert not (tmp_path / "board.db").exists()


def test_it_ends_though_its_connection_to_kafka_does_not_close(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answered = threading.Event()
    closed: list[bool] = []

    class HangingPublisher:
        """Stands for a connection to a Kafka that does not answer."""

        def __init__(self, *_: object) -> None:
            self.send = lambda _: []

        def close(self) -> None:
            closed.append(answered.wait(TIMEOUT_S))

    monkeypatch.setattr(service, "ActionPublisher", HangingPublisher)
    monkeypatch.setattr(service, "prepare_process", lambda: None)
    monkeypatch.setattr(service, "FINISH_S", 0.1)
    monkeypatch.setattr(service, "_CLOSE_S", 0.1)
    board = BoardSettings(database_url=f"sqlite:///{tmp_path}/board.db", port=0)

    async def serving() -> int:
        stop = asyncio.Event()
        monkeypatch.setattr(service, "stop_on_signals", lambda: stop)
        return await service.serve(Settings(brokers=NOBODY), board, listening=lambda _: stop.set())

    assert asyncio.run(serving()) == 0
    assert closed == [], "it waited for the answer"
    answered.set()
