"""Guides as tests: the files of a document are written, its commands run as written, what it says is shown."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from cli.local.stack import answers
from tests.waiting import TIMEOUT_S


class Step(NamedTuple):
    """A file to write, or commands to run until their output shows these words."""

    name: str
    text: str
    shows: tuple[str, ...] = ()


def steps(guide: str) -> Iterator[Step]:
    """What a reader is told to do, in order."""
    pattern = re.compile(
        r"(?:`(?P<name>[\w./]+)`:\n)?```(?P<kind>\w+)\n(?P<text>.*?)```(?:\n<!-- shows: (?P<shows>.*?) -->)?", re.DOTALL
    )
    for found in pattern.finditer(guide):
        assert found["name"] or found["kind"] == "sh", f"what is this for? {found['text']}"
        shows = tuple(found["shows"].split(", ")) if found["shows"] else ()
        yield Step(found["name"] or "", found["text"], shows)


class Terminals:
    """One for commands, whose variables last, and one for each server. Use as a context manager. `servers` are the
    starts of commands that keep running, each with the page that tells that it is up; `$NAME` in it is a variable."""

    def __init__(self, folder: Path, servers: Mapping[str, str]) -> None:
        self._folder = folder
        self._up = servers
        self._servers: list[subprocess.Popen[bytes]] = []
        binaries = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        plain = {name: value for name, value in os.environ.items() if not name.startswith("SLA_")}
        self._environment = {**plain, "PATH": binaries, "NO_COLOR": "1", "COLUMNS": "200"}

    def __enter__(self) -> Terminals:
        return self

    def __exit__(self, *_: object) -> None:
        for server in reversed(self._servers):
            server.send_signal(signal.SIGTERM)
        for server in self._servers:
            try:
                server.wait(TIMEOUT_S)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()

    def do(self, step: Step) -> None:
        """Run a block; again and again until its output shows what it is to show."""
        *commands, last = step.text.strip().splitlines()
        server = next((up for name, up in self._up.items() if last.startswith(name)), None)
        if server is not None:
            self._run("\n".join(commands))
            self._serve(last, server)
            return
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            shown = self._run(step.text)
            missing = [word for word in step.shows if word not in shown]
            if not missing:
                return
            time.sleep(1)  # each try costs as much as a process's start
            assert time.monotonic() < deadline, f"{step.text}\ndoes not show {missing}:\n{shown}"

    def _run(self, script: str) -> str:
        """Variables that it sets are there in the next block."""
        keep = self._folder / "environment"
        done = subprocess.run(
            ["bash", "-euc", f"set -a\n{script}\nenv -0 > {keep}"],
            cwd=self._folder,
            env=self._environment,
            check=False,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
        self._environment = dict(each.split("=", 1) for each in keep.read_text().split("\0") if each)
        return done.stdout

    def _serve(self, command: str, up: str) -> None:
        log = self._folder / f"{len(self._servers)}.log"
        with log.open("wb") as output:
            server = subprocess.Popen(
                ["bash", "-c", f"exec {command}"],
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self._servers.append(server)
        deadline = time.monotonic() + TIMEOUT_S
        page = up.replace("$SLA_HEALTH_PORT", self._environment.get("SLA_HEALTH_PORT", ""))
        while not answers(f"http://127.0.0.1:{page}"):
            assert server.poll() is None, f"{command}\n{log.read_text()}"
            assert time.monotonic() < deadline, f"{command}\nis not up:\n{log.read_text()}"
            time.sleep(0.1)


def follow(guide: str, folder: Path, servers: Mapping[str, str], own: Callable[[str], str]) -> None:
    """Do all steps of a guide in a folder; `own` replaces addresses in its text by those of this test."""
    with Terminals(folder, {command: own(page) for command, page in servers.items()}) as terminals:
        for step in steps(guide):
            if step.name:
                (folder / step.name).parent.mkdir(parents=True, exist_ok=True)
                (folder / step.name).write_text(own(step.text), encoding="utf-8")
            else:
                terminals.do(step._replace(text=own(step.text)))
