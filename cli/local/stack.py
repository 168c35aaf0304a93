"""The product on this machine: embedded broker, topics and a worker process, started and stopped together."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, Self

from cli.embedded_kafka.broker import Broker, start_broker
from cli.embedded_kafka.node_files import free_port
from cli.kafka_io.topic_admin import apply_topics
from cli.local.parent import of_this_process
from streams.topics import declared

_READY_S = 120.0
_STOP_S = 20.0
PARTITIONS = 8
#: What a process of this machine runs first.
WITH_PARENT = "from cli.local.parent import end_with_parent; end_with_parent(); "
WORKER = (sys.executable, "-c", f"{WITH_PARENT}import sys; from cli.services.worker import run; sys.exit(run())")


class StackError(Exception):
    """A process did not start, or ended by itself; the text names its log."""


class StackStopped(Exception):  # noqa: N818 -- it names what happened
    """The user stopped everything before it was ready."""


def answers(page: str) -> bool:
    """Whether a page answers 200."""
    try:
        with urllib.request.urlopen(page, timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


class Stack:
    """A running broker and worker. Use as a context manager; everything stops at its end."""

    def __init__(
        self,
        data_dir: Path | None,
        *,
        port: int | None = None,
        environment: Mapping[str, str] | None = None,
        partitions: int = PARTITIONS,
    ) -> None:
        self._environment = dict(environment or {})
        self._partitions = partitions
        self._worker: subprocess.Popen[bytes] | None = None
        self.broker: Broker = start_broker(data_dir, port)
        self.log = self.broker.data_dir / "worker.log"
        self.health_port = free_port()

    @property
    def bootstrap(self) -> str:
        return self.broker.bootstrap

    def apply_topics(self) -> None:
        apply_topics(self.bootstrap, declared("sla", self._partitions, 1))

    def start_worker(self, wait_s: float = _READY_S, stop: threading.Event | None = None) -> int:
        """Start a worker and wait until every task is ready; its process id. Raises StackError, or StackStopped once
        `stop` is set: Ctrl-C reaches the worker as well, which then ends with code 0."""
        settings = {
            "SLA_BROKERS": self.bootstrap,
            "SLA_PARTITIONS": str(self._partitions),
            "SLA_HEALTH_PORT": str(self.health_port),
            "SLA_LOG_FORMAT": "json",
            "PYTHONUNBUFFERED": "1",
        }
        with self.log.open("ab") as log:
            self._worker = self._launched({**os.environ, **settings, **self._environment}, log)
        deadline = time.monotonic() + wait_s
        while not self.ready():
            code = self._worker.poll()
            if stop is not None and stop.is_set():
                raise StackStopped
            if code is not None:
                raise StackError(f"the worker ended with code {code}; see {self.log}: {self._last_line()}")
            if time.monotonic() > deadline:
                raise StackError(f"the worker was not ready within {wait_s:.0f} s; see {self.log}")
            time.sleep(0.05)
        return self._worker.pid

    def _launched(self, environment: Mapping[str, str], log: BinaryIO) -> subprocess.Popen[bytes]:
        own = {**environment, **of_this_process()}
        return subprocess.Popen(WORKER, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=own)

    def ready(self) -> bool:
        """Whether the worker reports that all its tasks are running."""
        return answers(f"http://127.0.0.1:{self.health_port}/ready")

    def worker_code(self) -> int | None:
        """The exit code of the worker, negative for a signal; None while it runs."""
        return None if self._worker is None else self._worker.poll()

    def kill_worker(self) -> None:
        """End the worker as a crash would."""
        if self._worker is not None:
            self._worker.send_signal(signal.SIGKILL)
            self._worker.wait()

    def stop_worker(self) -> int | None:
        """Have the worker finish its open transactions; its exit code."""
        if self._worker is None:
            return None
        if self._worker.poll() is None:
            self._worker.terminate()
            try:
                self._worker.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self._worker.kill()
                self._worker.wait()
        return self._worker.returncode

    def _last_line(self) -> str:
        """The last line about an error in the worker's log, else its last line."""
        lines = self.log.read_text(errors="replace").strip().splitlines()
        for line in reversed(lines):
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if entry.get("level") == "error":
                return str(entry.get("reason") or entry.get("event"))
        return lines[-1] if lines else "no output"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self.stop_worker()
        self.broker.stop(keep_data=isinstance(error, StackError))  # the error names a log in there
