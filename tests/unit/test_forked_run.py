"""Tests in forked processes: what each reports reaches the run, also where a process dies."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
CONFTEST = """
import os
import pytest
from tests.preloaded.forked_run import ForkedRun

def pytest_configure(config):
    config.pluginmanager.register(ForkedRun(2))

@pytest.fixture(scope="session")
def once(tmp_path_factory):
    yield os.getpid()
    with open("ended.txt", "a") as file:
        file.write("ended\\n")
    assert not os.path.exists("fails"), "the end of a session"
"""
FIRST = """
import os
import pytest

def test_one(once, tmp_path, capfd):
    assert once == os.getpid()
    print("captured")
    assert capfd.readouterr().out == "captured\\n"

def test_two(once):
    assert once == os.getpid()
    print("seen by its failure")
    assert 1 == 2

def test_dies(once):
    os._exit(7)

@pytest.mark.parametrize("number", range(3))
def test_goes_on(number):
    pass

def test_is_left_out():
    pytest.skip("for a reason")
"""
OTHERS = "def test_here(once):\n    pass\n"


def run(folder: Path, *options: str) -> tuple[int, str]:
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_first.py").write_text(FIRST)
    for number in range(4):
        (folder / f"test_other{number}.py").write_text(OTHERS)
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", "-p", "no:hypothesispytest", *options],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return ended.returncode, ended.stdout + ended.stderr


def test_every_result_arrives_and_the_rest_of_a_file_whose_process_died(tmp_path: Path) -> None:
    code, told = run(tmp_path)
    assert code == 1, told
    assert "2 failed, 8 passed, 1 skipped" in told
    assert "seen by its failure" in told
    assert "assert 1 == 2" in told
    assert "the process that ran this test ended with code 7" in told
    assert "for a reason" in told
    assert len((tmp_path / "ended.txt").read_text().split()) in {1, 2}  # each process that lived, if it had a file


def test_fixtures_of_a_session_that_fail_at_its_end_fail_the_run(tmp_path: Path) -> None:
    (tmp_path / "fails").touch()
    code, told = run(tmp_path, "-k", "test_here")
    assert code == 1, told
    assert "the end of a session" in told


def test_a_run_that_stops_at_the_first_failure_ends(tmp_path: Path) -> None:
    code, told = run(tmp_path, "-x", "test_first.py")
    assert code == 1, told
    assert "stopping after 1 failures" in told
    assert re.search(r"1 failed, 1 passed", told), told
