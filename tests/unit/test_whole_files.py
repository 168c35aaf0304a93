"""Files that commands write are whole or not there, whoever else writes them."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.kafka_io import backup
from cli.main import app
from cli.support.whole_file import CannotWrite, whole_file


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


def test_a_file_that_is_replaced_keeps_its_mode(tmp_path: Path) -> None:
    """A report that only its owner may read stays so, also while it is written."""
    target = tmp_path / "a"
    target.touch(mode=0o600)
    with whole_file("--output", target):
        assert [stat.S_IMODE(each.stat().st_mode) for each in tmp_path.iterdir()] == [0o600, 0o600]
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


def test_two_writers_of_the_same_file_leave_what_one_of_them_wrote(tmp_path: Path) -> None:
    """Also where both are process 1, as in two containers."""
    target = tmp_path / ("a" * 255)  # as long as a name may be
    with whole_file("--output", target) as first:
        first.write(b"11")
        with whole_file("--output", target) as second:
            second.write(b"222222")
            second.flush()
            first.write(b"1")
    assert (target.read_text(), names(tmp_path)) == ("111", [target.name])


def test_a_new_file_takes_the_place_of_none(tmp_path: Path) -> None:
    target = tmp_path / "a"
    output = whole_file("FILE", target, new=True)
    output.__enter__().write(b"mine")
    target.write_text("of another")
    with pytest.raises(CannotWrite, match="exists by now"):
        output.__exit__(None, None, None)
    assert (target.read_text(), names(tmp_path)) == ("of another", ["a"])


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
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()), daemon=True)
    reader.start()
    with whole_file("--output", pipe) as file:
        file.write(b"piped")
    reader.join(timeout=120)
    assert (read, stat.S_ISFIFO(pipe.stat().st_mode)) == ([b"piped"], True)


def test_what_standard_output_goes_to_is_added_to(tmp_path: Path) -> None:
    """As in `--output /dev/stdout >> log`."""
    log = tmp_path / "log"
    log.write_text("before\n")
    with log.open("ab") as output:
        code = "import pathlib\nfrom cli.support.whole_file import whole_file\n"
        code += "with whole_file('--output', pathlib.Path('/dev/stdout')) as file: file.write(b'after\\n')"
        subprocess.run([sys.executable, "-c", code], stdout=output, check=True, timeout=120)
    assert (log.read_text(), names(tmp_path)) == ("before\nafter\n", ["log"])


def test_errors_of_the_block_are_its_own(tmp_path: Path) -> None:
    """Kafka that gives no answer, and a terminal that is gone, are no faults of the file."""
    for error in (TimeoutError(), BrokenPipeError(errno.EPIPE, "of the progress")):
        with pytest.raises(type(error)) as found, whole_file("FILE", tmp_path / "a"):
            raise error
        assert found.value is error
    assert names(tmp_path) == []


def test_a_disk_that_is_full_is_told_once() -> None:
    for length in (1, 1_000_000):
        with pytest.raises(CannotWrite) as found, whole_file("FILE", Path("/dev/full")) as file:
            file.write(b"x" * length)
        assert str(found.value) == "FILE: /dev/full can't be written: No space left on device"


def test_a_closed_output_is_no_file_to_write_to(tmp_path: Path) -> None:
    (tmp_path / "report").write_text("before\n")
    code = "import pathlib, os; from cli.support.whole_file import whole_file; os.close(1)\n"
    code += f"with whole_file('--output', pathlib.Path({str(tmp_path / 'report')!r})) as file: file.write(b'after\\n')"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
    assert (tmp_path / "report").read_text() == "after\n"


def test_a_directory_and_links_in_a_circle_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    for target, problem in ((Path("/"), "Is a directory"), (tmp_path / "a", "Too many levels of symbolic links")):
        with pytest.raises(CannotWrite, match=f"--output: {target} can't be written: {problem}"):
            whole_file("--output", target).__enter__()
    assert names(tmp_path) == ["a", "b"]


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
