"""Logs: JSON for machines, bound values kept, libraries heard but not repeated."""

from __future__ import annotations

import io
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from streams.log_damper import CrashLog
from streams.log_output import LogOutput
from streams.logs import configure_logs


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    out = io.StringIO()
    configure_logs(json=True, stream=out)
    yield out
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_bound_values_are_fields(stream: io.StringIO) -> None:
    structlog.get_logger("streams.example").bind(agent="incidents", partition=3).info("applied", offset=7)
    (line,) = lines(stream)
    assert line | {"agent": "incidents", "partition": 3, "offset": 7, "event": "applied", "level": "info"} == line


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


def test_a_log_in_a_file_is_written_as_it_is(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w", encoding="utf-8") as file:
        LogOutput(file).emit(logging.LogRecord("aiokafka", logging.INFO, "", 0, "written", None, None))
    assert (tmp_path / "log").read_text(encoding="utf-8") == "written\n"
