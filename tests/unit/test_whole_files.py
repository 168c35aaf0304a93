"""Files that commands write are whole or not there, whoever else writes them."""

from __future__ import annotations

import os
import stat
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from cli.kafka_io import backup
from cli.main import app
from cli.support.whole_file import whole_file
from tests.standard_modules import altered


def names(directory: Path) -> list[str]:
    return sorted(each.name for each in directory.iterdir())


def test_what_is_written_appears_at_once_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "a"
    target.write_text("before")
    with whole_file("--output", target) as file:
        file.write(b"after")
        assert target.read_text() == "before"
    assert (target.read_text(), names(tmp_path)) == ("after", ["a"])
    output = whole_file("--output", target)
    output.__enter__().write(b"half")
    output.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert (target.read_text(), names(tmp_path)) == ("after", ["a"])


def test_two_processes_that_write_the_same_file_leave_one_of_theirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "a"
    with whole_file("--output", target) as first:
        first.write(b"11")
        monkeypatch.setattr("cli.support.whole_file.os", altered(os, getpid=lambda: 1))
        with whole_file("--output", target) as second:
            second.write(b"222222")
            second.flush()
            first.write(b"1")
    assert (target.read_text(), names(tmp_path)) == ("111", ["a"])


def test_a_new_file_takes_the_place_of_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "a"
    output = whole_file("FILE", target, new=True)
    output.__enter__().write(b"mine")
    target.write_text("of another")
    with pytest.raises(typer.Exit):
        output.__exit__(None, None, None)
    assert (target.read_text(), names(tmp_path)) == ("of another", ["a"])
    assert "exists by now" in capsys.readouterr().err


def test_a_link_stays_one_and_a_pipe_is_written_to(tmp_path: Path) -> None:
    (tmp_path / "dated").write_text("before")
    (tmp_path / "latest").symlink_to("dated")
    with whole_file("--output", tmp_path / "latest") as file:
        file.write(b"after")
    assert (tmp_path / "dated").read_text() == "after"
    assert (tmp_path / "latest").is_symlink()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    with whole_file("--output", pipe) as file:
        file.write(b"piped")
    reader.join()
    assert (read, stat.S_ISFIFO(pipe.stat().st_mode)) == ([b"piped"], True)


def test_a_backup_into_a_directory_that_is_not_there_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(*_: Any) -> Counter[str]:
        return Counter()

    monkeypatch.setattr(backup, "write_backup", write)
    run = CliRunner().invoke(app, ["topics", "backup", str(tmp_path / "no" / "b.jsonl"), "--brokers", "127.0.0.1:1"])
    assert (run.exit_code, run.stdout) == (2, "")
    assert run.stderr == f"FILE: {tmp_path}/no/b.jsonl can't be written: No such file or directory\n"
    fine = CliRunner().invoke(app, ["topics", "backup", str(tmp_path / "b.jsonl"), "--brokers", "127.0.0.1:1"])
    assert (fine.exit_code, names(tmp_path)) == (0, ["b.jsonl"])
