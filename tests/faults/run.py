"""One scenario: a deployment under load, faults, then the end of the load and the judgement."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random  # noqa: TID251 -- seeded

from kafka import KafkaConsumer, TopicPartition

from cli.embedded_kafka.broker import start_broker
from streams.time_source import SystemTimeSource
from tests.preloaded import PreloadedProcess

from .billing import totals
from .deployment import PARTITIONS, PREFIX, ROOT, Brokers, Deployment, patiently, started, wait_for
from .evidence import gather, lag, unread_credits
from .load import Incidents, Publisher, Sent, contracts, past
from .oracle import Verdict, judge

_BILLING = ("kafka", "streams.serde.codec")
SETTLE_S = 14.0
"""Backfill's quiet, the statements after it, and one more round of provisional ones."""


@dataclass
class Result:
    """What a scenario came to. `faults` counts what was done to it, `gap_s` is the longest time that nothing new
    became visible while load was coming in."""

    name: str
    seed: int
    problems: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    gap_s: float = 0.0
    seconds: float = 0.0


class StallDetector:
    """Watches committed outputs grow, from a thread of its own; remembers the longest pause."""

    def __init__(self, bootstrap: str) -> None:
        self.longest_s = 0.0
        self._bootstrap = bootstrap
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="pulse", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        consumer = KafkaConsumer(
            bootstrap_servers=self._bootstrap, isolation_level="read_committed", enable_auto_commit=False
        )
        wanted = [TopicPartition(f"{PREFIX}.incidents", number) for number in range(PARTITIONS)]
        last, since = 0, time.monotonic()
        while not self._stop.wait(0.1):
            try:
                now = sum(consumer.end_offsets(wanted).values())
            except Exception:  # the broker is away: nothing is visible
                now = last
            if now != last:
                last, since = now, time.monotonic()
            self.longest_s = max(self.longest_s, time.monotonic() - since)
        consumer.close()


class Run:
    """What a scenario may use."""

    def __init__(self, deployment: Deployment, result: Result, *, short: bool) -> None:
        self.deployment = deployment
        self.random = Random(result.seed)
        self.result = result
        self.short = short
        self.publisher = Publisher(deployment.bootstrap)
        self.incidents = Incidents(result.seed)
        self.billing: subprocess.Popen[bytes] | PreloadedProcess | None = None

    def times(self, full: int, short: int) -> range:
        """How often to repeat a fault."""
        return range(short if self.short else full)

    def did(self, fault: str, times: int = 1) -> None:
        """Count a fault, and say so."""
        self.result.faults[fault] += times
        print(f"  {self.result.name}: {fault} #{self.result.faults[fault]}", file=sys.stderr, flush=True)

    def pause(self, least: float, most: float) -> None:
        """Let load flow for a drawn time."""
        time.sleep(self.random.uniform(least, most))

    @property
    def ledger_file(self) -> Path:
        return self.deployment.folder / "billing.sqlite"

    def start_billing(self) -> None:
        words = (self.deployment.bootstrap, f"{PREFIX}.credits", str(self.ledger_file))
        with (self.deployment.folder / "billing.log").open("ab") as log:
            self.billing = started("tests.faults.billing", _BILLING, {}, log, ROOT, *words)

    def stop_billing(self) -> None:
        """As a crash would; it is not left behind whatever happened."""
        if self.billing is not None:
            self.billing.kill()
            self.billing.wait()

    def restart_billing(self) -> None:
        self.stop_billing()
        self.start_billing()

    def keep_billing(self) -> None:
        """Start it again if it has ended, as a supervisor would: its client gives up when brokers are long away."""
        if self.billing is not None and self.billing.poll() is not None:
            self.start_billing()


Scenario = Callable[[Run], None]


@contextmanager
def one_broker(folder: Path) -> Iterator[Brokers]:
    """A single node; its data go with it."""
    with start_broker(folder / "kafka") as broker:
        yield broker


def execute(
    name: str,
    scenario: Scenario,
    seed: int,
    folder: Path,
    *,
    short: bool = False,
    rate: float = 120.0,
    brokers: Callable[[Path], object] = one_broker,
    replication: int = 1,
    tree: Callable[[Path], Path] = lambda _: ROOT,
    mixed_in: Callable[[Run], Callable[[], Sent | None]] | None = None,
    held_back: bool = False,
) -> Result:
    """Run a scenario and judge it (`held_back` as oracle.judge has it). `rate` is events a second; half of it when
    `short`. Its first workers run the code in `tree`, made in the folder. Whatever goes wrong is in its problems."""
    result = Result(name, seed)
    began = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        code = tree(folder)
        with (
            brokers(folder) as nodes,
            Deployment(  # type: ignore[attr-defined]
                nodes, folder, replication=replication, tree=code, **getattr(nodes, "worker_settings", {})
            ) as deployment,
        ):
            run = Run(deployment, result, short=short)
            try:
                _execute(run, scenario, rate, mixed_in, held_back)
            finally:
                run.stop_billing()
    except Exception as error:
        result.problems.append(f"{type(error).__name__}: {error}")
    result.seconds = time.monotonic() - began
    return result


def _execute(
    run: Run,
    scenario: Scenario,
    rate: float,
    mixed_in: Callable[[Run], Callable[[], Sent | None]] | None,
    held_back: bool,
) -> None:
    deployment, result = run.deployment, run.result
    deployment.start_worker()
    patiently(lambda: Publisher(deployment.bootstrap).send(contracts(SystemTimeSource().now())))
    wait_for(lambda: not lag(deployment.bootstrap), "contracts are known")
    run.start_billing()
    # At once: a load with pauses longer than the quiet that ends it means something else (R32).
    Publisher(deployment.bootstrap).send(past())
    other = mixed_in(run) if mixed_in is not None else lambda: None
    pulse = StallDetector(deployment.bootstrap)
    run.publisher.start(run.incidents, rate / 2 if run.short else rate, mixed_in=other)
    pulse.start()
    try:
        scenario(run)
    finally:
        run.publisher.finish()
        pulse.stop()
        result.gap_s = pulse.longest_s
    Publisher(deployment.bootstrap).send(run.incidents.ending(SystemTimeSource().now()))
    if not deployment.alive():
        deployment.start_worker(wait=False)
    verdict = _settled_and_judged(run, held_back)
    if verdict.problems:  # what is lost or doubled stays so; on a machine under load, statements may be late
        deployment.start_worker(wait=False)
        run.start_billing()
        verdict = _settled_and_judged(run, held_back)
    result.problems += verdict.problems
    result.counts += verdict.counts


def _settled_and_judged(run: Run, held_back: bool) -> Verdict:
    """The verdict once what follows from the input has had its time; ends the workers and billing."""
    deployment = run.deployment
    deployment.wait_until_served()
    wait_for(lambda: not lag(deployment.bootstrap), "all input is applied")
    time.sleep(SETTLE_S)
    wait_for(lambda: not lag(deployment.bootstrap), "all input is applied")
    codes = [worker.stop() for worker in deployment.alive()]

    def billed() -> bool:
        run.keep_billing()
        return not unread_credits(deployment.bootstrap)

    wait_for(billed, "billing has read all credits")
    run.stop_billing()
    verdict = judge(gather(deployment.bootstrap), totals(run.ledger_file), held_back=held_back)
    if any(codes):
        run.result.problems.append(f"workers ended with {codes}")
    return verdict
