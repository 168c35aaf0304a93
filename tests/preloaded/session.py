"""What the test processes of one run share: a folder, and a lock that is held until the run ends, however it ends."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_VARIABLE = "TESTS_SHARED_FOLDER"
_RUNNING = "running.lock"


@contextmanager
def run_of_tests() -> Iterator[None]:
    """The time in which `shared_folder` is there. Processes that are started meanwhile have the same one."""
    folder = Path(tempfile.mkdtemp(prefix="sla-tests-"))
    held = os.open(folder / _RUNNING, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(held, fcntl.LOCK_EX)
    os.environ[_VARIABLE] = str(folder)
    try:
        yield
    finally:
        del os.environ[_VARIABLE]
        os.close(held)
        shutil.rmtree(folder, ignore_errors=True)


def is_part_of_a_run() -> bool:
    """Whether another process holds the run open for this one."""
    return _VARIABLE in os.environ


def shared_folder() -> Path:
    """The folder of this run of the tests."""
    return Path(os.environ[_VARIABLE])


@contextmanager
def one_at_a_time(name: str) -> Iterator[None]:
    """Among the processes of the run."""
    with (shared_folder() / f"{name}.lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        yield


def has_ended(folder: Path) -> bool:
    """Whether the run is over: for processes that live as long as it does."""
    with suppress(OSError), (folder / _RUNNING).open("rb") as running:
        fcntl.flock(running, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return True
    return not (folder / _RUNNING).exists()
