"""A process that is forked from one with its imports done; it has the methods of `subprocess.Popen` that tests use."""

from __future__ import annotations

import hashlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from tests.preloaded.session import one_at_a_time, shared_folder

ROOT = Path(__file__).parents[2]


class PreloadedProcess:
    """A running process; it is killed when this process ends."""

    def __init__(self, connection: socket.socket, arguments: Sequence[str]) -> None:
        self.args = arguments
        self.returncode: int | None = None
        self._connection = connection
        self._told = connection.makefile("rb")
        self.pid = int(self._told.readline())

    def poll(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        return self._ended(0)

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, once it has ended. Raises `subprocess.TimeoutExpired`."""
        code = self._ended(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(list(self.args), timeout or 0.0)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):  # it has ended, and its code is on the way
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _ended(self, timeout: float | None) -> int | None:
        if self.returncode is None:
            with selectors.DefaultSelector() as selector:
                selector.register(self._connection, selectors.EVENT_READ)
                if not selector.select(timeout):
                    return None
            line = self._told.readline()
            assert line, f"the process that {self.args} was forked from has ended"
            self.returncode = int(line)
            self._told.close()
            self._connection.close()
        return self.returncode

    def __del__(self) -> None:
        self._told.close()
        self._connection.close()


def start(
    program: Sequence[str],
    imports: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    output: IO[bytes] | int | None = None,
) -> PreloadedProcess:
    """Run `python *program` (`-c CODE`, `-m MODULE` or a file, then arguments) in a process that has these imports.
    `output` takes what it writes, and says to stderr; its input is empty."""
    request = {
        "program": [*program],
        "env": dict(os.environ if env is None else env),
        "cwd": str(cwd or Path.cwd()),
    }
    body = json.dumps(request).encode()
    target = sys.__stderr__ if output is None else output
    assert target is not None
    number = target if isinstance(target, int) else target.fileno()
    connection = _connect(imports)
    socket.send_fds(connection, [len(body).to_bytes(8, "big")], [number])
    connection.sendall(body)
    return PreloadedProcess(connection, ["python", *program])


def have_template(imports: Sequence[str]) -> Path:
    """The address of the process with these imports, which is started if nobody has done so."""
    name = hashlib.sha256("\n".join(imports).encode()).hexdigest()[:12]
    address = shared_folder() / f"{name}.sock"
    with one_at_a_time(name):
        if not address.exists():
            _start_template(address, imports)
    return address


def _connect(imports: Sequence[str]) -> socket.socket:
    address = have_template(imports)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.connect(str(address))
    return connection


def _start_template(address: Path, imports: Sequence[str]) -> None:
    """Returns when it serves; it goes on in a process that is nobody's child."""
    log = address.with_suffix(".log")
    with log.open("wb") as output:
        started = subprocess.run(
            [sys.executable, "-m", "tests.preloaded.template", str(address), *imports],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=ROOT,
            check=False,
            start_new_session=True,  # Ctrl-C ends the run, and the run's end ends it
        )
    assert started.returncode == 0, log.read_text()
