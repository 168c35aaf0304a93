"""A deployment under test: a real broker, topics, and as many workers as a scenario wants, each a process."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Protocol, Self

from cli.embedded_kafka.node_files import free_port
from cli.kafka_io.topic_admin import apply_topics
from streams.topics import declared
from tests.preloaded import PreloadedProcess, start
from tests.preloaded.session import is_part_of_a_run

ROOT = Path(__file__).resolve().parents[2]
PREFIX = "sla"
PARTITIONS = 4
#: The history's plan, and that of platform-wide incidents; live tenants are on a plan of seconds.
POLICY, LIVE_PLAN = "code-hosting", "demo-live"
SESSION_S = 4
#: Deciding is quick, statements come soon, and a dead worker is missed soon.
SETTINGS = {
    "SLA_DEFAULT_POLICY": POLICY,
    "SLA_PARTITIONS": str(PARTITIONS),
    "SLA_SESSION_TIMEOUT": f"PT{SESSION_S}S",
    "SLA_MARK_EVERY": "PT1S",
    "SLA_BACKFILL_QUIET": "PT6S",
    "SLA_PSEUDONYM_KEY": "faults",
    "SLA_LOG_FORMAT": "json",
    "PYTHONUNBUFFERED": "1",
}
_IMPORTS = ("agents.worker", "faust.assignor.leader_assignor", "faust.tables.manager")
READY_S = 180.0
STOP_S = 60.0


class Brokers(Protocol):
    """One broker or several. `bootstrap` is where clients connect, through a proxy where there is one."""

    @property
    def bootstrap(self) -> str: ...

    def stop(self) -> None: ...


class Worker:
    """A worker process. `kill` is SIGKILL, `pause` and `resume` are SIGSTOP and SIGCONT."""

    def __init__(
        self, name: str, process: subprocess.Popen[bytes] | PreloadedProcess, health_port: int, log: Path
    ) -> None:
        self.name = name
        self.process = process
        self.log = log
        self._health = f"http://127.0.0.1:{health_port}"

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def pause(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> int:
        """Have it finish, by force if it takes too long; its exit code."""
        if self.alive:
            self.resume()
            self.process.terminate()
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
        return self.process.wait()

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of one of its pages; 0 when it does not answer."""
        try:
            with urllib.request.urlopen(self._health + path, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except (urllib.error.URLError, OSError):
            return 0, ""

    def ready(self) -> bool:
        return self.get("/ready")[0] == 200

    def serving(self) -> bool:
        """Ready, and with partitions of its own."""
        return self.ready() and 'state="running"} 1.0' in self.get("/metrics")[1]

    def said(self, event: str) -> list[dict[str, object]]:
        """The lines of its log that are about an event."""
        found = []
        for line in self.log.read_text(errors="replace").splitlines():
            with contextlib.suppress(ValueError):
                entry = json.loads(line)
                if isinstance(entry, dict) and entry.get("event") == event:
                    found.append(entry)
        return found


class Deployment:
    """Use as a context manager. Its data lie in `folder`; `settings` come on top of SETTINGS; workers that start run
    the code in `tree`."""

    def __init__(
        self, brokers: Brokers, folder: Path, *, replication: int = 1, tree: Path = ROOT, **settings: str
    ) -> None:
        self.brokers = brokers
        self.folder = folder
        self.tree = tree
        self.workers: list[Worker] = []
        self._replication = replication
        self._settings = {**SETTINGS, **settings}
        self._started = 0

    @property
    def bootstrap(self) -> str:
        return self.brokers.bootstrap

    def __enter__(self) -> Self:
        patiently(lambda: apply_topics(self.bootstrap, declared(PREFIX, PARTITIONS, self._replication)))
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers:
            if worker.alive:
                worker.kill()
        self.brokers.stop()

    def start_worker(self, *, wait: bool = True, **environment: str) -> Worker:
        """A new worker; with `wait`, when it and all others are ready again."""
        self._started += 1
        name, port = f"worker-{self._started}", free_port()
        log = self.folder / f"{name}.log"
        given = {"SLA_BROKERS": self.bootstrap, "SLA_HEALTH_PORT": str(port), **self._settings, **environment}
        with log.open("ab") as file:
            process = started("tests.faults.worker", _IMPORTS, given, file, self.tree)
        worker = Worker(name, process, port, log)
        self.workers.append(worker)
        if wait:
            self.wait_until_served()
        return worker

    def alive(self) -> list[Worker]:
        return [worker for worker in self.workers if worker.alive]

    def wait_until_served(self, seconds: float = READY_S) -> None:
        """Until every live worker is ready, so that every partition is processed."""
        wait_for(lambda: bool(self.alive()) and all(map(Worker.ready, self.alive())), "workers are ready", seconds)


def started(
    module: str, imports: Sequence[str], given: Mapping[str, str], output: IO[bytes], tree: Path = ROOT, *words: str
) -> subprocess.Popen[bytes] | PreloadedProcess:
    """A module as a process that runs the code in a tree. In a run of the tests its imports are done already."""
    environment = {**os.environ, "PYTHONPATH": str(tree), **given}
    if tree == ROOT and is_part_of_a_run():
        return start(["-m", module, *words], imports, env=environment, cwd=tree, output=output)
    command = [sys.executable, "-m", module, *words]
    return subprocess.Popen(command, stdout=output, stderr=output, stdin=subprocess.DEVNULL, env=environment, cwd=tree)


def wait_for(condition: Callable[[], object], what: str, seconds: float = READY_S) -> None:
    """Raises TimeoutError naming `what` when it does not come in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:.0f} s in vain: {what}")
        time.sleep(0.05)


def patiently(act: Callable[[], object], seconds: float = 60.0) -> None:
    """Brokers that have just started may refuse for a moment."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            act()
        except Exception:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
        else:
            return
