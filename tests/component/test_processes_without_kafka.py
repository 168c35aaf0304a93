"""Worker, intake, notifier and board without Kafka: not ready, with the reason, and ended by SIGTERM in ten seconds."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from cli.embedded_kafka.node_files import free_port
from tests.preloaded import start
from tests.preloaded.commands import IMPORTS
from tests.waiting import TIMEOUT_S, wait

ROOT = Path(__file__).parents[2]
PORTS = {
    "worker": "SLA_HEALTH_PORT",
    "intake": "SLA_INTAKE_PORT",
    "notify": "SLA_NOTIFY_PORT",
    "board": "SLA_BOARD_PORT",
}
#: Or three times as long as the machine took to start them, where it has much else to do.
_STOP_S = 10.0


class Process:
    """`sla <command>` as a process of its own, which has its imports done."""

    def __init__(self, command: str, brokers: str, folder: Path) -> None:
        port = free_port()
        self.name = command
        self.url = f"http://127.0.0.1:{port}"
        self.log = folder / f"{command}.log"
        secrets = {
            f"SLA_INTAKE_{name}": f"secret-of-{name.lower()}"
            for name in ("PROMETHEUS_TOKEN", "ZENDESK_SECRET", "JIRA_SECRET", "BILLING_TOKEN", "SERVICES_TOKEN")
        }
        environment = {
            **os.environ,
            **secrets,
            PORTS[command]: str(port),
            "SLA_BROKERS": brokers,
            "SLA_LOG_FORMAT": "json",
            "SLA_INTAKE_MAPPING": str(ROOT / "examples" / "intake.yaml"),
            "SLA_NOTIFY_ROUTES": str(_routes(folder)),
            "SLA_BOARD_DATABASE_URL": f"sqlite:///{folder}/board.db",
        }
        program = ["-c", "from cli.main import main; main()", command]
        with self.log.open("wb") as output:
            self._process = start(program, IMPORTS[command], env=environment, output=output)

    def get(self, path: str) -> tuple[int, Any]:
        """Status and JSON; 0 where nobody answers."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=TIMEOUT_S) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)
        except OSError:
            return 0, None

    def live(self) -> bool:
        assert self._process.poll() is None, self.log.read_text()
        return self.get("/live")[0] == 200

    def says_why(self) -> bool:
        """Whether /ready says why Kafka can't be used; it is never ready before."""
        status, body = self.get("/ready")
        assert status == 503, body
        return any(text in json.dumps(body["reasons"]) for text in ("no Kafka broker answers", "does not answer"))

    def terminate(self) -> None:
        self._process.send_signal(signal.SIGTERM)

    def code(self, deadline: float) -> int | None:
        """The exit code; None if it has not ended by then."""
        try:
            return self._process.wait(max(deadline - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            return None

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


def _routes(folder: Path) -> Path:
    routes = folder / "notify.yaml"
    key = folder / "key"
    key.write_text("k" * 32)
    lines = ["version: 1", "destinations:", f"  duty: {{kind: pagerduty, routing_key: {{file: {key}}}}}"]
    routes.write_text("\n".join([*lines, "routes:", "  - {to: duty}", ""]))
    return routes


@contextmanager
def _silent_broker() -> Iterator[str]:
    """An address that accepts connections and never answers."""
    kept: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    kept.append(listener.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(TIMEOUT_S)
        for each in kept:
            each.close()


@contextmanager
def _refusing_broker() -> Iterator[str]:
    """An address that nobody listens at."""
    yield f"127.0.0.1:{free_port()}"


BROKERS = {"refusing": _refusing_broker, "silent": _silent_broker}


@pytest.mark.parametrize("kind", BROKERS)
def test_processes_say_that_kafka_is_away_and_end_in_time(kind: str, tmp_path: Path) -> None:
    with BROKERS[kind]() as brokers, ExitStack() as started:
        processes, began = [], time.monotonic()
        for command in PORTS:
            folder = tmp_path / command
            folder.mkdir()
            process = Process(command, brokers, folder)
            started.callback(process.kill)
            processes.append(process)
        for process in processes:
            wait(process.live, process.log.read_text, every_s=0.1)
        for process in processes:
            wait(process.says_why, process.log.read_text, every_s=0.1)
        in_time = max(_STOP_S, 3 * (time.monotonic() - began))
        asked = time.monotonic()
        for process in processes:
            process.terminate()
        codes = {process.name: process.code(asked + in_time) for process in processes}
        assert codes == dict.fromkeys(PORTS, 0), [process.log.read_text()[-2_000:] for process in processes]


def test_a_process_whose_loop_does_not_close_ends_with_its_code(tmp_path: Path) -> None:
    """As with a client of Kafka whose task ignores that it is cancelled."""
    program = tmp_path / "stuck.py"
    program.write_text(
        "import asyncio\nfrom streams import service_process\nservice_process._CLOSE_S = 0.1\n"
        "async def stuck():\n"
        "    while True:\n"
        "        try: await asyncio.sleep(60)\n"
        "        except asyncio.CancelledError: pass\n"
        "async def serve():\n"
        "    asyncio.get_running_loop().stuck = asyncio.create_task(stuck())\n"
        "    await asyncio.sleep(0)\n"
        "    return 3\n"
        "raise SystemExit(service_process.run_process(serve()))\n"
    )
    assert subprocess.run([sys.executable, str(program)], timeout=TIMEOUT_S, check=False).returncode == 3


@pytest.mark.parametrize("hangs", ["await asyncio.sleep(600)", "time.sleep(600)"], ids=["waiting", "busy"])
def test_a_stop_that_takes_too_long_is_cut_short_also_where_the_loop_is_busy(hangs: str, tmp_path: Path) -> None:
    program = tmp_path / "slow.py"
    program.write_text(
        "import asyncio, os, signal, time\nfrom streams import service_process\n"
        "async def serve():\n"
        "    stop = service_process.stop_on_signals(0.1)\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    await stop.wait()\n"
        f"    {hangs}\n"
        "    return 3\n"
        "raise SystemExit(service_process.run_process(serve()))\n"
    )
    ended = subprocess.run([sys.executable, str(program)], capture_output=True, timeout=TIMEOUT_S, check=False)
    assert (ended.returncode, b"process_stop_cut_short" in ended.stdout + ended.stderr) == (0, True)
