"""The intake of `sla up`: a process beside the worker, with a mapping and a token of its own if none is given."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

from cli.stack import StackError, answers

_READY_S = 30.0
_STOP_S = 25.0
_MAPPING = """\
# Made by `sla up`: services may send plain JSON and CloudEvents with the token in {token}.
version: 1
sources:
  local:
    format: api
    secrets: [{{file: {quoted}}}]
    allow: [incident.*, contract.*, credit.*, maintenance.*]
"""


class LocalIntake:
    """Use as a context manager. Raises StackError when it does not come up."""

    def __init__(self, bootstrap: str, data: Path, mapping: Path | None, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.log = data / "intake.log"
        self.mapping = mapping if mapping is not None else _own_mapping(data)
        self._environment = {
            "SLA_BROKERS": bootstrap,
            "SLA_INTAKE_MAPPING": str(self.mapping),
            "SLA_INTAKE_PORT": str(port),
            "SLA_LOG_FORMAT": "json",
        }
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def __enter__(self) -> Self:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", "from cli.main import main; main()", "intake"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self._environment},
            )
        deadline = time.monotonic() + _READY_S
        while not answers(f"{self.url}/ready"):
            if not self.alive or time.monotonic() > deadline:
                self.__exit__()
                lines = self.log.read_text(errors="replace").strip().splitlines()
                raise StackError(f"the intake did not come up; see {self.log}: {lines[-1] if lines else 'no output'}")
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


def _own_mapping(data: Path) -> Path:
    token, mapping = data.resolve() / "intake-token", data / "intake.yaml"
    if not token.exists():
        token.touch(mode=0o600)
        token.write_text(secrets.token_urlsafe(24), encoding="ascii")
    mapping.write_text(_MAPPING.format(token=token, quoted=json.dumps(str(token))), encoding="utf-8")
    return mapping
