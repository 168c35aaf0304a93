"""Who takes part, with what guarantee and in which version, and how each is run once."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.peers import environments, kafka_streams, on_runtime, product
from bench.peers.course import Course
from bench.peers.environments import ROOT
from bench.peers.run import Run
from bench.peers.timeline import RunFailed, Throughput, throughput, visible
from bench.peers.watch import read_outputs, watch

_STOP_S = 20.0
EXACTLY_ONCE, AT_LEAST_ONCE, NONE = "exactly once", "at least once", "reads only"
BASELINE = "kafka-streams"
SLOW = 4

Progress = Callable[[str], None]
RunOnce = Callable[[Course, Run], Throughput]


@dataclass(frozen=True, slots=True)
class Contender:
    """One row of the table. `prepare` installs and compiles; what it gives runs it once."""

    name: str
    title: str
    guarantee: str
    prepare: Callable[[Progress], RunOnce]
    part: int = 1
    """It gets one in so many of the events: the slow ones would take most of the time and are no faster later, while
    the JVM has to warm up and the fast ones have to be seen for a while."""


def small_job(
    command: list[str], course: Course, run: Run, *, group: str | None = None, topics: tuple[str, ...] = ()
) -> Throughput:
    """Starts a program that does the small job, watches it to its end and checks what it wrote. Raises RunFailed."""
    course.create(run.output)
    for topic in topics:
        course.create(topic, {"cleanup.policy": "compact"})
    with _started([*command, *run.arguments()], Path(run.folder)) as problem:
        samples = asyncio.run(
            watch(course.bootstrap, group or run.name, run.input, course.ends, run.output, problem, course.limit_s)
        )
    found = asyncio.run(read_outputs(course.bootstrap, run.output, run.partitions))
    found.check(course.expected)
    return throughput(visible(samples, found.offsets), course.events, course.warm)


@contextlib.contextmanager
def _started(command: list[str], folder: Path) -> Iterator[Callable[[], str | None]]:
    """A program while it runs; gives what says why it has ended by itself, if it has."""
    log = folder / "log.txt"
    with log.open("wb") as sink:
        program = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink)

    def problem() -> str | None:
        if (code := program.poll()) is None:
            return None
        lines = [line for line in log.read_text("utf-8", "replace").splitlines() if line.strip()]
        return f"ended with code {code}: {lines[-1] if lines else 'no output'}"

    try:
        yield problem
    finally:
        program.send_signal(signal.SIGTERM)
        try:
            program.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            program.kill()
            program.wait()


def _in_environment(peer: str) -> Callable[[Progress], RunOnce]:
    def prepare(progress: Progress) -> RunOnce:
        command = [str(environments.prepare(peer, progress)), "-m", f"bench.peers.on_{peer}"]
        return lambda course, run: small_job(command, course, run)

    return prepare


def _kafka_streams(progress: Progress) -> RunOnce:
    command = kafka_streams.prepare(progress)
    return lambda course, run: small_job(command, course, run)


def _runtime(_: Progress) -> RunOnce:
    def run_once(course: Course, run: Run) -> Throughput:
        settings = on_runtime.settings_of(run.name, run.bootstrap, run.partitions)
        agent = on_runtime.AGENT
        command = [sys.executable, "-m", on_runtime.__name__]
        return small_job(command, course, run, group=settings.group(agent), topics=(settings.changelog(agent),))

    return run_once


def _raw(_: Progress) -> RunOnce:
    def run_once(course: Course, run: Run) -> Throughput:
        command = [sys.executable, "-m", "bench.peers.on_aiokafka", *run.arguments()]
        try:
            done = subprocess.run(
                command,
                cwd=ROOT,
                capture_output=True,
                text=True,
                timeout=course.limit_s,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise RunFailed(f"not done after {course.limit_s:.0f} s") from error
        if done.returncode != 0:
            raise RunFailed(f"ended with code {done.returncode}: {done.stderr.strip()[-200:]}")
        return throughput(json.loads(done.stdout), course.events, course.warm)

    return run_once


CONTENDERS = (
    Contender("raw", "aiokafka, read and decode only", NONE, _raw),
    Contender("runtime", "our runtime, the small job", EXACTLY_ONCE, _runtime),
    Contender(BASELINE, f"Kafka Streams {kafka_streams.KAFKA_VERSION}, one thread", EXACTLY_ONCE, _kafka_streams),
    Contender(
        "quix",
        f"Quix Streams {environments.pinned('quix', 'quixstreams')}",
        EXACTLY_ONCE,
        _in_environment("quix"),
        SLOW,
    ),
    Contender(
        "faust",
        f"Faust {environments.pinned('faust', 'faust-streaming')}",
        AT_LEAST_ONCE,
        _in_environment("faust"),
        SLOW,
    ),
    Contender("product", "the product, its full decide", EXACTLY_ONCE, lambda _: product.run_once, SLOW),
)
