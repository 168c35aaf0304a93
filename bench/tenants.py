"""Very many tenants: memory of their contract terms, time until a worker is ready, processor time of one event.

    python -m bench.tenants [--tenants 1 1000 100000] [--rate 1000] [--seconds 15]

Contract terms are copied to every incident partition, because a task decides from its own state alone (ADR 1). So each
partition stores all of them. For each number of tenants the script starts a new broker and writes the changelogs with
processors that need no broker. Then it starts a worker, measures its recovery time and memory, and publishes events of
these tenants at a steady rate.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Iterator

from agents.context import Topics
from agents.incidents import IncidentsProcessor
from agents.ledger import LedgerProcessor
from bench.crowd import PARTITIONS, POLICY, resident, rows_of
from bench.intake import used_s
from bench.latency import latency_line, measure_latency
from bench.load import Encoded, contracts
from bench.throughput import publish
from cli.local.stack import Stack
from streams.internal_topics import COPY, TO_INCIDENTS, wrap
from streams.policy.load import default_policies_dir, load_policies
from streams.runtime.checkpoint import CHECKPOINT_KEY, Checkpoint, encode_checkpoint
from streams.runtime.processor import Effects, Record
from streams.sla.arrival import TimeLimits
from streams.sla.instants import HOUR, SECOND
from streams.sla.policy import Policies
from streams.time_source import SystemTimeSource

SINCE = 26 * HOUR
"""How long ago contracts begin: before the timed incidents opened, so that these breach by the contract terms."""
INCIDENTS, LEDGER = "sla.incidents-changelog", "sla.ledger-changelog"


def incident_rows(tenants: int, since: int, now: int, policies: Policies) -> Iterator[Encoded]:
    """The copies of all terms. They are the same in every partition, so one processor makes the rows of all."""
    topics = Topics("sla", PARTITIONS)
    processor = IncidentsProcessor(0, topics, policies, TimeLimits(), clock=SystemTimeSource(), mark_every=10 * SECOND)
    for _, home, key, value, headers in contracts(tenants, now, PARTITIONS, POLICY, since=since):
        terms = Record("sla.contract-events", home, 0, now, key, value, headers)
        copy = wrap(terms, TO_INCIDENTS, COPY, "sla.incidents-internal", 0)
        effects = Effects()
        processor.apply(Record("sla.incidents-internal", 0, 0, now, copy.key, copy.value, copy.headers), effects)
        for number in range(PARTITIONS):
            yield from rows_of(effects, number)
    yield from checkpoints(("sla.incident-events", "sla.incidents-internal"), now)


def ledger_rows(tenants: int, since: int, now: int, policies: Policies) -> Iterator[Encoded]:
    """The contract of each tenant in its own partition."""
    topics = Topics("sla", PARTITIONS)
    processors = [
        LedgerProcessor(number, topics, policies, TimeLimits(), clock=SystemTimeSource())
        for number in range(PARTITIONS)
    ]
    for _, home, key, value, headers in contracts(tenants, now, PARTITIONS, POLICY, since=since):
        effects = Effects()
        processors[home].apply(Record("sla.contract-events", home, 0, now, key, value, headers), effects)
        yield from rows_of(effects, home)
    yield from checkpoints(("sla.contract-events", "sla.ledger-internal"), now)


def checkpoints(topics: tuple[str, ...], now: int) -> Iterator[Encoded]:
    """The checkpoint row of each partition, at the beginning of its inputs."""
    for number in range(PARTITIONS):
        yield "state", number, CHECKPOINT_KEY, encode_checkpoint(Checkpoint(dict.fromkeys(topics, 0), now)), []


def write_changelogs(bootstrap: str, tenants: int, since: int) -> None:
    """Write the changelogs that workers leave after applying all contracts, which begin `since` microseconds before
    now."""
    now = SystemTimeSource().now()
    policies = Policies.of(load_policies(default_policies_dir()), POLICY)
    asyncio.run(publish(bootstrap, INCIDENTS, incident_rows(tenants, since, now, policies)))
    asyncio.run(publish(bootstrap, LEDGER, ledger_rows(tenants, since, now, policies)))


def measure(tenants: int, rate: int, seconds: int, base: int) -> int:
    """Measure one number of tenants on a new broker. Prints the result; returns the worker's memory in bytes."""
    environment = {"SLA_DEFAULT_POLICY": POLICY, "SLA_MARK_EVERY": "PT10S"}
    with Stack(None, environment=environment, partitions=PARTITIONS) as stack:
        stack.apply_topics()
        write_changelogs(stack.bootstrap, tenants, SINCE)
        started = time.perf_counter()
        pid = stack.start_worker(wait_s=600)
        ready_s, rss = time.perf_counter() - started, resident(pid)
        before = used_s(pid)
        found = asyncio.run(measure_latency(stack.bootstrap, PARTITIONS, rate, seconds, tenants))
        spent_us = (used_s(pid) - before) / sum(found.sent) * 1e6
        each = f", {(rss - base) / tenants:,.0f} B each" if base and tenants > 1000 else ""
        print(f"{tenants:,} tenants x {PARTITIONS} partitions: ready in {ready_s:.1f} s, {rss >> 20:,} MiB{each}")
        print(f"  {latency_line(rate, found)}; {spent_us:,.0f} µs of the worker's processor time an event", flush=True)
        return rss


def main() -> None:
    """Measure each number of tenants."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tenants", type=int, nargs="+", default=[1, 1_000, 100_000])
    parser.add_argument("--rate", type=int, default=1_000, help="events a second")
    parser.add_argument("--seconds", type=int, default=15)
    options = parser.parse_args()
    base = 0
    for tenants in options.tenants:
        rss = measure(tenants, options.rate, options.seconds, base)
        base = base or rss


if __name__ == "__main__":
    main()
