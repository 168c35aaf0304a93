"""A worker with very many open incidents: how long it takes to come back, what it holds, how fast it still is.

    python -m bench.crowd [--open 0 100000 1000000] [--facts 1] [--rates 10 1000 5000] [--seconds 15]

For each size a new broker whose changelog is written beforehand by processors without a broker, as a worker would have
written it; then a worker is started, its recovery timed and its memory read. Then events come at steady rates: how long
until their classification can be read, and how long after its deadline a breach can (a read_committed reader, one
clock), and what the worker spends on an event. At last a backlog of events about incidents old and new, as fast as it
goes.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agents.context import Topics
from agents.incidents import IncidentsProcessor
from bench.intake import used_s
from bench.latency import Latencies, latency_line, measure_latency, opening
from bench.load import SOURCE, Encoded, contracts, encoded
from bench.throughput import publish, wait_applied
from cli.local.stack import Stack
from streams.internal_topics import COPY, TO_INCIDENTS, wrap
from streams.policy.load import default_policies_dir, load_policies
from streams.runtime.checkpoint import CHECKPOINT_KEY, Checkpoint, encode_checkpoint
from streams.runtime.processor import Effects, Record
from streams.sla.arrival import TimeLimits
from streams.sla.instants import HOUR, SECOND
from streams.sla.policy import Policies
from streams.time_source import SystemTimeSource

PARTITIONS = 8
POLICY = "code-hosting"
"""P3 there may take 24 hours to respond and the bench opens incidents an hour old: no timer is near."""
BACKLOG = 20_000
TENANTS = 1000


@dataclass(frozen=True, slots=True)
class Found:
    """One size: seconds, bytes, events a second."""

    ready_s: float
    rss: int
    rate: float
    steady: dict[int, Latencies]
    """By events a second."""
    spent_us: dict[int, float]
    """The worker's processor time for an event, by events a second."""


def facts_of(number: int, facts: int, opened: int) -> Iterator[Encoded]:
    """An open incident: its opening, then answers and updates."""
    name = f"crowd-{number}"
    yield opening(name, opened, PARTITIONS)
    for step in range(1, facts):
        yield update(name, step, opened + step * SECOND)


def update(name: str, step: int, at: int) -> Encoded:
    """An update that tells the customer something."""
    who = {"kind": "support", "id": "agent-7"}
    base = {"event_id": f"{name}-{step}", "source": SOURCE, "subject": name, "occurred_at": at}
    return encoded("incident.updated", {**base, "who": who, "visibility": "public"}, PARTITIONS)


def changelog(count: int, facts: int, now: int, opened: int) -> Iterator[Encoded]:
    """Rows of all partitions as workers would have written them, and their applied rows."""
    topics, clock = Topics("sla", PARTITIONS), SystemTimeSource()
    policies = Policies.of(load_policies(default_policies_dir()), POLICY)
    made = [
        IncidentsProcessor(number, topics, policies, TimeLimits(), clock=clock, mark_every=10 * SECOND)
        for number in range(PARTITIONS)
    ]
    for _, _, key, value, headers in contracts(TENANTS, now, PARTITIONS, POLICY):
        terms = Record("sla.contract-events", 0, 0, now, key, value, headers)
        for number, each in enumerate(made):
            effects = Effects()
            copy = wrap(terms, TO_INCIDENTS, COPY, "sla.incidents-internal", number)
            each.apply(Record("sla.incidents-internal", number, 0, now, copy.key, copy.value, copy.headers), effects)
            yield from rows_of(effects, number)
    for number in range(count):
        effects = Effects()
        for _, partition, key, value, headers in facts_of(number, facts, opened):
            record = Record("sla.incident-events", partition, number, now, key, value, headers)
            made[partition].apply(record, effects)
        yield from rows_of(effects, partition)
    applied = Checkpoint({"sla.incident-events": 0, "sla.incidents-internal": 0}, now)
    for number in range(PARTITIONS):
        yield "state", number, CHECKPOINT_KEY, encode_checkpoint(applied), []


def rows_of(effects: Effects, partition: int) -> Iterator[Encoded]:
    """What a transaction would write to the changelog."""
    for key, value in effects.rows.items():
        if value is not None:
            yield "state", partition, key, value, []


def backlog(count: int, now: int) -> Iterator[Encoded]:
    """Half about incidents of the crowd, drawn evenly from all of it; half of new ones."""
    for number in range(BACKLOG // 2):
        if count:
            yield update(f"crowd-{number * 7919 % count}", 1_000 + number, now - 60 * SECOND)
        yield opening(f"new-{number}", now - 60 * SECOND, PARTITIONS)


def measure(count: int, facts: int, rates: list[int], seconds: int) -> Found:
    """One size on a new broker."""
    environment = {"SLA_DEFAULT_POLICY": POLICY, "SLA_MARK_EVERY": "PT10S"}
    with Stack(None, environment=environment, partitions=PARTITIONS) as stack:
        stack.apply_topics()
        now = SystemTimeSource().now()
        asyncio.run(publish(stack.bootstrap, "sla.incidents-changelog", changelog(count, facts, now, now - HOUR)))
        started = time.perf_counter()
        pid = stack.start_worker(wait_s=600)
        ready_s = time.perf_counter() - started
        rss = resident(pid)
        steady: dict[int, Latencies] = {}
        spent: dict[int, float] = {}
        counts = [0] * PARTITIONS
        for rate in rates:
            before = used_s(pid)
            steady[rate] = asyncio.run(measure_latency(stack.bootstrap, PARTITIONS, rate, seconds))
            spent[rate] = (used_s(pid) - before) / sum(steady[rate].sent) * 1e6
            counts = [was + more for was, more in zip(counts, steady[rate].sent, strict=True)]
        stack.stop_worker()
        now = SystemTimeSource().now()
        sent = list(backlog(count, now))
        more = asyncio.run(publish(stack.bootstrap, "sla.incident-events", sent))
        counts = [was + added for was, added in zip(counts, more, strict=True)]
        stack.start_worker(wait_s=600)
        started = time.perf_counter()
        ended = asyncio.run(wait_applied(stack.bootstrap, "sla-incidents", "sla.incident-events", counts))
        return Found(ready_s, rss, len(sent) / (ended - started), steady, spent)


def resident(pid: int) -> int:
    """Bytes of a process that are in memory."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096


def main() -> None:
    """Measure each size and print a line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--open", type=int, nargs="+", default=[0, 100_000, 1_000_000])
    parser.add_argument("--facts", type=int, default=1, help="events of each open incident")
    parser.add_argument("--rates", type=int, nargs="+", default=[10, 1_000, 5_000], help="events a second")
    parser.add_argument("--seconds", type=int, default=15, help="how long at each rate")
    options = parser.parse_args()
    empty: int | None = None
    for count in options.open:
        found = measure(count, options.facts, options.rates, options.seconds)
        empty = found.rss if empty is None else empty
        each = f", {(found.rss - empty) / count:,.0f} B each beside the first line's" if count else ""
        print(
            f"{count:,} open of {options.facts} facts: ready in {found.ready_s:.1f} s, {found.rss >> 20:,} MiB{each}, "
            f"backlog at {found.rate:,.0f} events/s"
        )
        for rate, latencies in found.steady.items():
            print(
                f"  {latency_line(rate, latencies)}; {found.spent_us[rate]:,.0f} µs of the worker's processor time",
                flush=True,
            )


if __name__ == "__main__":
    main()
