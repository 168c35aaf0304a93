"""Logs: JSON for machines, bound values kept, libraries heard but not repeated."""

from __future__ import annotations

import io
import json
import logging
import os
import select
import time
from pathlib import Path

import pytest
import structlog

from streams import log_output
from streams.log_damper import CrashLog
from streams.log_output import LogOutput
from streams.logs import configure_logs
from tests.standard_modules import altered


@pytest.fixture
def stream() -> io.StringIO:
    out = io.StringIO()
    configure_logs(json=True, stream=out)
    return out


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_bound_values_are_fields(stream: io.StringIO) -> None:
    structlog.get_logger("streams.example").bind(agent="incidents", partition=3).info("applied", offset=7)
    (line,) = lines(stream)
    assert line | {"agent": "incidents", "partition": 3, "offset": 7, "event": "applied", "level": "info"} == line


def test_logs_that_a_test_set_up_are_gone_in_the_next_one() -> None:
    """tests/conftest.py sees to it."""
    assert not isinstance(structlog.get_config()["logger_factory"], structlog.stdlib.LoggerFactory)
    assert not [each for each in logging.getLogger().handlers if isinstance(each, LogOutput)]
    assert logging.getLogger("streams").level == logging.NOTSET


def test_libraries_are_heard_from_warning_on_and_not_over_and_over(stream: io.StringIO) -> None:
    library = logging.getLogger("aiokafka.example")
    library.info("not heard")
    for node in range(3):
        library.warning("no connection to %s", node)
    library.error("something else")
    assert [line["event"] for line in lines(stream)] == ["no connection to 0", "something else"]


def test_an_exception_is_data(stream: io.StringIO) -> None:
    try:
        raise ValueError("odd")
    except ValueError:
        structlog.get_logger("streams.example").exception("failed")
    (line,) = lines(stream)
    assert "odd" in json.dumps(line["exception"])


def test_a_failure_that_lasts_is_logged_again_after_ten_minutes_with_a_count(stream: io.StringIO) -> None:
    now = 0.0
    crashes = CrashLog(structlog.get_logger("streams.example"), "crashed", lambda: now)

    def failing(error: Exception) -> None:
        try:
            raise error
        except Exception as raised:
            crashes.caught(raised, task="reader")

    for now in (0.0, 5.0, 599.0, 600.0, 601.0):
        failing(KeyError(now))
    failing(ValueError("another kind"))
    assert [(each["event"], each["task"], each["left_out"]) for each in lines(stream)] == [
        ("crashed", "reader", 0),
        ("crashed", "reader", 2),
        ("crashed", "reader", 0),
    ]
    assert '"exc_type": "KeyError", "exc_value": "0.0"' in json.dumps(lines(stream)[0])


def test_a_pipe_that_nobody_reads_holds_nothing_up(stream: io.StringIO) -> None:
    """The process would stand still with the collector of its logs."""
    formatter = logging.getLogger().handlers[0].formatter
    reading, writing = os.pipe()
    with open(reading, "rb", buffering=0) as reader, open(writing, "w", encoding="utf-8") as pipe:
        output = LogOutput(pipe, wait_ms=1)
        output.setFormatter(formatter)
        logging.getLogger().handlers[:] = [output]
        log = structlog.get_logger("streams.example")
        for number in range(40):
            log.info("applied", number=number, text="é" * 5_000)
        read = reader.read(1 << 20)
        log.info("read_again")
        read += reader.read(1 << 20)
        output.close()
    found = []
    for line in read.decode(errors="replace").splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            found.append({"event": "cut"})
    events = [each["event"] for each in found]
    whole = events.count("applied")
    assert 0 < whole < 40
    assert events == [*["applied"] * whole, *["cut"] * events.count("cut"), "log_entries_dropped", "read_again"]
    assert events.count("cut") <= 1
    assert found[-2]["count"] == 40 - whole


def entry(level: int = logging.INFO) -> logging.LogRecord:
    return logging.LogRecord("aiokafka", level, "", 0, "written " * 1_000, None, None)


@pytest.mark.parametrize("slow_s", [0.2, 0.3])
def test_a_slow_reader_holds_little_up_and_a_critical_entry_waits_longer(
    monkeypatch: pytest.MonkeyPatch, slow_s: float
) -> None:
    """Each page that it read let the next entry wait again: the process stood still three seconds of four."""
    now, ready_at = 100.0, 0.0

    class Poll:
        def register(self, *_: object) -> None: ...

        def poll(self, wait_ms: float) -> bool:
            nonlocal now
            now += max(min(ready_at - now, wait_ms / 1_000), 0.0)
            return now >= ready_at

    def write(_: int, piece: bytes) -> int:
        nonlocal ready_at
        ready_at = now + slow_s
        written.append(piece)
        return len(piece)

    written = list[bytes]()
    reading, writing = os.pipe()
    with open(reading, "rb"), open(writing, "w", encoding="utf-8") as pipe, monkeypatch.context() as faked:
        output = LogOutput(pipe)
        faked.setattr(log_output, "select", altered(select, poll=Poll))
        faked.setattr(log_output, "time", altered(time, monotonic=lambda: now))
        faked.setattr(log_output, "os", altered(os, write=write))
        held = 0.0
        while now < 120.0:
            begun = now
            output.emit(entry())
            held += now - begun
            now += 0.01
        assert 0 < held <= 5 * 1.0
        written.clear()
        ready_at = now + 1.9
        output.emit(entry(logging.CRITICAL))
        assert b"".join(written).decode().endswith("written " * 1_000 + "\n")
        ready_at = now + 60.0
        begun = now
        for _ in range(9):
            output.emit(entry(logging.CRITICAL))
        assert now - begun <= 2.3, "one of them waits"
    output.close()


def test_a_pipe_that_another_process_fills_holds_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both see that there is room for one more entry."""
    reading, writing = os.pipe()
    with open(reading, "rb", buffering=0), open(writing, "w", encoding="utf-8") as pipe:
        output = LogOutput(pipe)
        assert output._pipe is not None
        assert (os.get_blocking(output._pipe), os.get_blocking(writing)) == (False, True)
        monkeypatch.setattr(output, "_ready", lambda *_: True)
        for _ in range(20):
            output.emit(entry())
        assert output._dropped
        output.close()
        assert output._pipe == writing


def test_a_pipe_whose_reader_is_gone_costs_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    reading, writing = os.pipe()
    with open(writing, "w", encoding="utf-8") as pipe:
        output = LogOutput(pipe)
        os.close(reading)
        output.emit(entry())
        output.close()
    assert capsys.readouterr().err == ""


def test_a_log_in_a_file_is_written_as_it_is(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w", encoding="utf-8") as file:
        LogOutput(file).emit(logging.LogRecord("aiokafka", logging.INFO, "", 0, "written", None, None))
    assert (tmp_path / "log").read_text(encoding="utf-8") == "written\n"
