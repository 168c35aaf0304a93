"""Environments of their own for the Python peers: their packages never come near the project's lock.

The lock files are written by pip-compile (`--generate-hashes --no-emit-index-url --no-header`) from the one requirement
that each begins with.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENTS = ROOT / ".sla" / "bench"
_HERE = Path(__file__).resolve().parent


class EnvironmentFailed(Exception):  # noqa: N818 -- it names what happened
    """A peer's packages could not be had; its text says why."""


def pinned(peer: str, package: str) -> str:
    """The version of `package` in the lock of `peer`."""
    found = re.search(rf"^{re.escape(package)}==(\S+)", lock_of(peer).read_text("utf-8"), re.MULTILINE)
    assert found is not None, f"{package} is not in {lock_of(peer).name}"
    return found[1]


def lock_of(peer: str) -> Path:
    """The file that pins every package of a peer."""
    return _HERE / f"{peer}.lock"


def prepare(peer: str, progress: Callable[[str], None]) -> Path:
    """The interpreter of the peer's environment, made once for each state of its lock. Raises EnvironmentFailed."""
    environment, lock = ENVIRONMENTS / peer, lock_of(peer)
    python, mark = environment / "bin" / "python", environment / "installed.lock"
    if mark.exists() and mark.read_text("utf-8") == lock.read_text("utf-8"):
        return python
    progress(f"{peer}: installing its packages into {environment.relative_to(ROOT)}, once")
    shutil.rmtree(environment, ignore_errors=True)
    _run([sys.executable, "-m", "venv", str(environment)])
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _run([*pip, "--require-hashes", "--no-deps", "--only-binary", ":all:", "-r", str(lock)])
    shutil.copyfile(lock, mark)
    return python


def _run(command: list[str]) -> None:
    # A local directory of wheels, where one is configured, is for the project's own lock: its files have other hashes.
    environment = {key: value for key, value in os.environ.items() if key != "PIP_FIND_LINKS"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise EnvironmentFailed(lines[-1] if lines else f"{command[0]} ended with code {done.returncode}")
