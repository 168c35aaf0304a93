"""A serving command of `sla` as a process of its own on a real broker: what tests of such commands share."""

from __future__ import annotations

import os
import signal
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from cli.embedded_kafka.node_files import free_port
from tests.preloaded import PreloadedProcess, start
from tests.preloaded.commands import IMPORTS
from tests.waiting import TIMEOUT_S, wait

ROOT = Path(__file__).parents[2]


class CommandProcess:
    """`sla <command>`; a context manager. It keeps its port, of which `port_variable` tells it, through `kill` and
    `start`. `first` is Python that runs before it."""

    def __init__(
        self, command: str, port_variable: str, log: Path, environment: Mapping[str, str], first: str = ""
    ) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = log
        self._command = command
        self._program = f"{first}from cli.main import main; main()"
        self._environment = {
            **os.environ,
            port_variable: str(self.port),
            "SLA_LOG_FORMAT": "json",
            **environment,
        }
        self._process: PreloadedProcess | None = None

    def start(self) -> None:
        """Returns when it is ready."""
        self.launch()
        wait(self.ready, lambda: f"sla {self._command} is not ready: {self.log.read_text()}")

    def launch(self) -> None:
        """Returns before it serves."""
        with self.log.open("ab") as log:
            self._process = start(
                ["-c", self._program, self._command],
                IMPORTS[self._command],
                env=self._environment,
                cwd=ROOT,
                output=log,
            )

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def ready(self) -> bool:
        """Whether it says that it is."""
        assert self._process is not None
        assert self._process.poll() is None, self.log.read_text()
        return self.get("/ready")[0] == 200

    def told(self) -> str:
        """What its log and its readiness say."""
        return self.log.read_text() + self.get("/ready")[1]

    def kill(self) -> None:
        """End it as a crash would."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """End it as an operator would; its exit code."""
        return self._end(signal.SIGTERM)

    def get(self, path: str) -> tuple[int, str]:
        """Status and text; 0 where nobody answers."""
        return self._ask(urllib.request.Request(self.url + path))

    def post(self, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, str]:
        """Status and text; 0 where nobody answers."""
        return self._ask(urllib.request.Request(self.url + path, body, headers))

    def _ask(self, request: urllib.request.Request) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S / 2) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except (urllib.error.URLError, OSError):
            return 0, ""

    def _end(self, how: signal.Signals) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        if process.poll() is None:
            process.send_signal(how)
        return process.wait(TIMEOUT_S)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
