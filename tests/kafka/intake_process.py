"""An intake as a process of its own on a real broker: what tests of it share."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from cli.broker_files import free_port
from cli.reading import Read, read_topics
from streams.codec import decode
from streams.json_form import to_json
from streams.sla.events import Rejection
from streams.sla.facts import to_event

ROOT = Path(__file__).parents[2]
MAPPING = ROOT / "examples" / "intake.yaml"
DATA = ROOT / "tests" / "data" / "intake"
SECRETS = {
    "SLA_INTAKE_PROMETHEUS_TOKEN": "prometheus-token-0001",
    "SLA_INTAKE_ZENDESK_SECRET": "zendesk-secret-00001",
    "SLA_INTAKE_JIRA_SECRET": "jira-secret-00000001",
    "SLA_INTAKE_BILLING_TOKEN": "billing-token-000001",
    "SLA_INTAKE_SERVICES_TOKEN": "services-token-00001",
}
SERVICES = {"Authorization": f"Bearer {SECRETS['SLA_INTAKE_SERVICES_TOKEN']}", "Content-Type": "application/json"}
_PATIENCE_S = 60.0


class IntakeProcess:
    """`sla intake`; a context manager. It keeps its port through `kill` and `start`."""

    def __init__(self, broker: str, prefix: str, log: Path, mapping: Path = MAPPING, **settings: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = log
        self._environment = {
            **os.environ,
            **SECRETS,
            "SLA_BROKERS": broker,
            "SLA_TOPIC_PREFIX": prefix,
            "SLA_INTAKE_MAPPING": str(mapping),
            "SLA_INTAKE_PORT": str(self.port),
            "SLA_LOG_FORMAT": "json",
            **{f"SLA_INTAKE_{name.upper()}": value for name, value in settings.items()},
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when it is ready."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", "from cli.main import main; main()", "intake"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
                cwd=ROOT,
            )
        wait(self.ready, lambda: f"the intake is not ready: {self.log.read_text()}")

    def ready(self) -> bool:
        """Whether it says that it can publish."""
        assert self._process is not None
        assert self._process.poll() is None, self.log.read_text()
        return self.get("/ready")[0] == 200

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
            with urllib.request.urlopen(request, timeout=20) as answer:
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
        return process.wait(30)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


def wait(condition: Any, why: Any, patience_s: float = _PATIENCE_S) -> None:
    """Until it holds; fails with `why()` when it does not in time."""
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, why()
        time.sleep(0.05)


def records(broker: str, prefix: str, suffix: str = "incident-events") -> list[Read]:
    """What lies in a topic."""
    return list(read_topics([broker], [f"{prefix}.{suffix}"]))


def accepted(found: list[Read]) -> Iterator[dict[str, Any]]:
    """The JSON form of records, each of which has to be one that the agents would accept."""
    for record in found:
        decoded = decode(record.value)
        assert not isinstance(decoded, Rejection), decoded
        event = to_event(*decoded)
        assert not isinstance(event, Rejection), event
        yield to_json(*decoded)
