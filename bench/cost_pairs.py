"""Whether this version decides faster than another one, measured beside busy neighbours.

    python -m bench.cost_pairs CHECKOUT [--timers] [--events 6000] [--rounds 5]

Both versions run in a process each, with the packages of this one, and take turns of a few milliseconds over the same
load: `CHECKOUT` is a directory with the other one. What neighbours do to the CPU and its caches then meets both, and
ratios of turns tell apart what two whole runs do not. Present states and record batches are left out.

`--timers` compares due timers instead: a turn is a transaction of breaches of incidents of one fact that are not
cached, with their rows and present states, as in `bench.second`.
"""

from __future__ import annotations

import argparse
import gc
import os
import subprocess
import sys
from collections.abc import Iterator
from inspect import signature
from pathlib import Path
from statistics import quantiles
from time import process_time
from typing import IO, Any

CHUNK = 250
"""Records of a turn."""
BOUNDARIES = 11
"""How often a round only prepares: before each agent, after each of 8 partitions, at its end."""


def turns(events: int) -> Iterator[str]:
    """Does one turn after the other, and says of which part each was; empty where only something was prepared."""
    from agents.ledger import LedgerProcessor
    from bench import cost
    from streams.policy.load import default_policies_dir, load_policies
    from streams.runtime.processor import Effects
    from streams.runtime.transaction_builder import OpenTransaction
    from streams.runtime.worker import GC_THRESHOLDS
    from streams.sla.arrival import TimeLimits
    from streams.sla.policy import Policies
    from streams.time_source import SystemTimeSource

    gc.set_threshold(*GC_THRESHOLDS)
    policies = Policies.of(load_policies(default_policies_dir()), "scalr-emergency")
    timed: dict[str, Any] = {"clock": SystemTimeSource()} if "clock" in signature(LedgerProcessor).parameters else {}
    while True:
        load = cost.load_of(policies, events)
        builders = [cost.builder_of(load, number, made) for number, made in enumerate(cost.incident_processors(load))]
        gc.collect()
        gc.freeze()
        yield ""
        for builder in builders:
            transaction, counted = OpenTransaction(), 0
            while builder.ready():
                builder.step(transaction)
                if transaction.records >= counted + CHUNK:
                    counted = transaction.records
                    yield "the incidents agent"
            while not builder.finish(transaction):
                pass
            load.effects.append(transaction.effects)
            yield ""
        ledgers = [
            LedgerProcessor(number, cost.TOPICS, policies, TimeLimits(), **timed) for number in range(cost.PARTITIONS)
        ]
        for record in load.terms:
            ledgers[record.partition].apply(record, Effects())
        copies, effects = cost.for_ledgers(load), Effects()
        yield ""
        for number, record in enumerate(copies, 1):
            ledgers[record.partition].apply(record, effects)
            if number % CHUNK == 0:
                yield "the ledger agent"
        gc.unfreeze()
        yield ""


def breaches_in_parts(count: int) -> Iterator[str]:
    """The same for breaches of so many incidents whose warnings were given before."""
    from agents.context import Topics
    from agents.incidents import INPUTS, IncidentsProcessor
    from bench.crowd import PARTITIONS, POLICY, changelog
    from bench.latency import RESPONSE
    from streams.policy.load import default_policies_dir, load_policies
    from streams.runtime.checkpoint import CHECKPOINT_KEY
    from streams.runtime.record_queue import RecordQueue
    from streams.runtime.transaction_builder import OpenTransaction, TransactionBuilder, TransactionLimits
    from streams.runtime.worker import GC_THRESHOLDS
    from streams.sla.arrival import TimeLimits
    from streams.sla.instants import HOUR, SECOND
    from streams.sla.policy import Policies
    from streams.time_source import SystemTimeSource

    gc.set_threshold(*GC_THRESHOLDS)
    clock, topics = SystemTimeSource(), Topics("sla", PARTITIONS)
    due = clock.now()
    policies = Policies.of(load_policies(default_policies_dir()), POLICY)
    rows = [each for each in changelog(count, 1, due - HOUR, due - RESPONSE) if each[2] != CHECKPOINT_KEY]
    limits = TransactionLimits(records=CHUNK, timers=CHUNK, seconds=3600)
    names = tuple(topics.name(suffix) for suffix in INPUTS)

    def builder(number: int) -> TransactionBuilder:
        processor = IncidentsProcessor(
            *(number, topics, policies, TimeLimits()), clock=clock, mark_every=10 * SECOND, max_cached=CHUNK
        )
        for _, partition, key, value, _ in rows:
            if partition == number and value is not None:
                processor.restore(key, value)
        processor.restored()
        queue = RecordQueue(names, 1)
        queue.begin(dict.fromkeys(names, 0))
        known: dict[str, Any] = {"failed": {}, "failed_subjects": {}, "backlog": {}}
        task = "incidents", number, processor, queue, limits
        return TransactionBuilder(*task, time=due - HOUR, stopwatch=lambda: 0.0, **known)

    def fire(builder: TransactionBuilder, before: int) -> int:
        transaction = OpenTransaction()
        builder.fire_due(before, transaction)
        while not builder.finish(transaction):
            pass
        return transaction.fired

    while True:
        builders = [builder(number) for number in range(PARTITIONS)]
        for each in builders:
            while fire(each, due) == CHUNK:  # warnings and marks
                pass
        gc.collect()
        gc.freeze()
        yield ""
        for each in builders:
            while fire(each, due + 1) == CHUNK:
                yield "due timers"
        gc.unfreeze()


def serve(events: int, *, timers: bool) -> None:
    """Do a turn for each line of the input, and print its part and its CPU time."""
    sys.path.insert(0, os.getcwd())
    each = breaches_in_parts(events) if timers else turns(events)
    for _ in sys.stdin:
        started = process_time()
        part = next(each)
        print(f"{process_time() - started}\t{part}", flush=True)


class Version:
    """One version in a process of its own."""

    def __init__(self, checkout: Path, events: int, *, timers: bool) -> None:
        command = [sys.executable, str(Path(__file__).resolve()), "--serve", "--events", str(events)]
        command += ["--timers"] if timers else []
        self.process = subprocess.Popen(command, cwd=checkout, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def turn(self) -> tuple[str, float]:
        """The part of the next turn, and its seconds."""
        ask, answer = self.process.stdin, self.process.stdout
        assert ask is not None
        assert answer is not None
        return _asked(ask, answer)


def _asked(ask: IO[str], answer: IO[str]) -> tuple[str, float]:
    ask.write("\n")
    ask.flush()
    seconds, _, part = answer.readline().rstrip("\n").partition("\t")
    return part, float(seconds)


def ratios(ours: Version, other: Version, boundaries: int) -> dict[str, list[float]]:
    """Our seconds by the other's, turn by turn, of each part."""
    found: dict[str, list[float]] = {}
    order, begun = [ours, other], 0
    while begun < boundaries:
        order.reverse()
        turn = {version: version.turn() for version in order}
        parts = {part for part, _ in turn.values()}
        if len(parts) == 1 and "" not in parts:
            found.setdefault(parts.pop(), []).append(turn[ours][1] / turn[other][1])
            continue
        for version, (part, _) in turn.items():  # slices of time differ: wait for the one that has more turns
            while part:
                part, _ = version.turn()
        begun += 1
    return found


def main() -> None:
    """Measure and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path, nargs="?")
    parser.add_argument("--timers", action="store_true", help="due timers in place of events")
    parser.add_argument("--events", type=int, default=6_000, help="events, or incidents with a due timer")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.events, timers=options.timers)
        return
    if options.checkout is None:
        parser.error("name the directory with the other version")
    places = Path.cwd(), options.checkout
    ours, other = (Version(each, options.events, timers=options.timers) for each in places)
    boundaries = options.rounds + 1 if options.timers else options.rounds * BOUNDARIES
    try:
        found = ratios(ours, other, boundaries)
    finally:
        for version in (ours, other):
            version.process.kill()
    turn = f"{CHUNK} {'timers' if options.timers else 'records'}"
    print(f"CPU time by that of {options.checkout}, in turns of about {turn}: median (quartiles)")
    for part, each in found.items():
        low, middle, high = quantiles(each, n=4)
        print(f"{part:<22}{middle:.2f} ({low:.2f} to {high:.2f}), {len(each)} turns")


if __name__ == "__main__":
    main()
