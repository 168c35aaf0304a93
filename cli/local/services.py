"""The intake, the notifier and the board of `sla up`: processes beside the worker, the intake with a mapping of its own
if none is given."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from board.access.tokens import add_token
from cli.embedded_kafka.node_files import BrokerError, check_port, free_port
from cli.local.parent import of_this_process
from cli.local.stack import WITH_PARENT, StackError, StackStopped, answers
from connect.actions.person import Person, Role
from streams.time_source import SystemTimeSource

_READY_S = 60.0
_STOP_S = 25.0
_MAPPING = """\
# Made by `sla up`: services may send plain JSON and CloudEvents with the token in {token}.
version: 1
sources:
  local:
    format: api
    secrets: [{{file: {quoted}}}]
    allow: [incident.*, incident.amended, incident.annulled, incident.policy_applied,
            contract.*, credit.*, maintenance.*]
    allow_sources: ["*"]
"""


class LocalService:
    """`sla <command>` as a process; a context manager, entered once its page `started` answers. Raises StackError when
    it does not start, StackStopped when `stop` is set before."""

    def __init__(
        self,
        command: str,
        port: int,
        data: Path,
        environment: Mapping[str, str],
        stop: threading.Event | None = None,
        started: str = "/ready",
    ) -> None:
        self.command = command
        self._port = port
        self.url = f"http://127.0.0.1:{port}"
        self.log = data / f"{command}.log"
        self._environment = {"SLA_LOG_FORMAT": "json", **environment}
        self._stop = stop
        self._started = started
        self._process: subprocess.Popen[bytes] | None = None

    def code(self) -> int | None:
        """The exit code of the process, negative for a signal; None while it runs."""
        return None if self._process is None else self._process.poll()

    def __enter__(self) -> Self:
        if self._stop is None or not self._stop.is_set():
            check_service_port(self.command, self._port)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", f"{WITH_PARENT}from cli.main import main; main()", self.command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self._environment, **of_this_process()},
            )
        deadline = time.monotonic() + _READY_S
        while not answers(f"{self.url}{self._started}"):
            ended = self.code() is not None
            if self._stop is not None and self._stop.is_set():
                self.__exit__()
                raise StackStopped
            if ended or time.monotonic() > deadline:
                self.__exit__()
                lines = self.log.read_text(errors="replace").strip().splitlines()
                last_line = lines[-1] if lines else "no output"
                raise StackError(f"sla {self.command} did not start; see {self.log}: {last_line}")
            time.sleep(0.05)
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def check_service_port(command: str, port: int) -> None:
    """Raises StackError when the port is not free: what has it would answer in place of the process, or the log alone
    would say why that ended."""
    try:
        check_port(port)
    except BrokerError as error:
        killed = "processes of a `sla up` that was killed end within half a minute"
        raise StackError(f"sla {command} can't start: {error} ({killed})") from None


class LocalIntake(LocalService):
    """`sla intake`."""

    def __init__(
        self, bootstrap: str, data: Path, mapping: Path | None, port: int, stop: threading.Event | None = None
    ) -> None:
        self.mapping = mapping if mapping is not None else _own_mapping(data)
        environment = {
            "SLA_BROKERS": bootstrap,
            "SLA_INTAKE_MAPPING": str(self.mapping),
            "SLA_INTAKE_PORT": str(port),
        }
        super().__init__("intake", port, data, environment, stop)


class LocalNotifier(LocalService):
    """`sla notify`."""

    def __init__(self, bootstrap: str, data: Path, routes: Path, stop: threading.Event | None = None) -> None:
        port = free_port()
        environment = {
            "SLA_BROKERS": bootstrap,
            "SLA_NOTIFY_ROUTES": str(routes),
            "SLA_NOTIFY_PORT": str(port),
        }
        super().__init__("notify", port, data, environment, stop)


#: Two people, so that one can approve what the other proposes.
_PEOPLE = (
    Person("ann", "Ann", frozenset({Role.RESPONDER, Role.BILLING})),
    Person("bob", "Bob", frozenset({Role.RESPONDER, Role.ADMIN})),
)


class LocalBoard(LocalService):
    """`sla board`, with its database and its tokens file in the data directory. It serves while it still reads the
    topics. `new_tokens` are those of the people that the first start made, by name; no start knows them afterwards."""

    def __init__(
        self,
        bootstrap: str,
        data: Path,
        port: int,
        stop: threading.Event | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        tokens = data.resolve() / "board-tokens.json"
        first = not tokens.exists()
        now = SystemTimeSource().now()
        self.new_tokens = {each.id: add_token(tokens, each, now) for each in _PEOPLE} if first else {}
        self._tokens = tokens
        own = {
            "SLA_BROKERS": bootstrap,
            "SLA_BOARD_SIGN_IN": "local",
            "SLA_BOARD_TOKENS": str(tokens),
            "SLA_BOARD_HOST": "127.0.0.1",
            "SLA_BOARD_PORT": str(port),
            "SLA_BOARD_DATABASE_URL": f"sqlite:///{data.resolve()}/board.db",
        }
        super().__init__("board", port, data, {**(environment or {}), **own}, stop, "/live")

    def how_to_sign_in(self) -> list[str]:
        """Lines for people: the new tokens, or where their entries are."""
        if not self.new_tokens:
            return [f"sign in      with a token of the first start; sla board tokens list --file {self._tokens}"]
        roles = {each.id: ", ".join(sorted(each.roles)) for each in _PEOPLE}
        lines = [f"sign in      {self.url}/sign-in with a token:"]
        for name, token in self.new_tokens.items():
            lines += [f"             {name} ({roles[name]})", f"             {token}"]
        return lines


def _own_mapping(data: Path) -> Path:
    token, mapping = data.resolve() / "intake-token", data / "intake.yaml"
    if not token.exists():
        token.touch(mode=0o600)
        token.write_text(secrets.token_urlsafe(24), encoding="ascii")
    mapping.write_text(_MAPPING.format(token=token, quoted=json.dumps(str(token))), encoding="utf-8")
    return mapping
