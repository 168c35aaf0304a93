"""A named pipe whose writer is yet to come holds no command: `sla publish` can be ended meanwhile."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from streams.lines import arriving_lines, read_lines


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "events")
    return tmp_path / "events"


def test_without_a_writer_nothing_has_arrived_yet(pipe: Path) -> None:
    lines = arriving_lines(str(pipe))
    assert [next(lines), next(lines)] == [None, None]
    writer = os.open(pipe, os.O_WRONLY)
    assert next(lines) is None
    os.write(writer, b"one\ntwo")
    assert next(lines) == "one"
    os.close(writer)
    assert [line for line in lines if line is not None] == ["two"]


def test_who_waits_gets_all_lines(pipe: Path) -> None:
    writer = threading.Thread(target=pipe.write_text, args=("one\ntwo\n",))
    writer.start()
    assert list(read_lines(str(pipe))) == ["one", "two"]
    writer.join()
