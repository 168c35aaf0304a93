"""End to end, exactly once: events a second of one worker, beside reading and decoding the same topic."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from statistics import median
from typing import Annotated

import typer
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.producer.message_accumulator import BatchBuilder

from bench.load import Encoded, contracts, incidents
from cli.local.stack import Stack
from streams.serde.codec import Codec
from streams.sla.facts import to_event
from streams.time_source import SystemTimeSource

PARTITIONS = 8
_INCIDENTS, _CONTRACTS = "sla.incident-events", "sla.contract-events"


@dataclass(frozen=True, slots=True)
class Round:
    """One round: events, and seconds for each way of reading them."""

    events: int
    worker_s: float
    limit_s: float

    @property
    def ratio(self) -> float:
        """The worker's speed as a share of the raw limit."""
        return self.limit_s / self.worker_s


async def publish(bootstrap: str, topic: str, load: Iterable[Encoded]) -> list[int]:
    """Write a load with acks=all; the number of events per partition."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", max_batch_size=512 * 1024)
    counts = [0] * PARTITIONS
    builders: dict[int, BatchBuilder] = {}
    async with producer:
        for _, partition, key, value, headers in load:
            counts[partition] += 1
            builder = builders.setdefault(partition, producer.create_batch())
            while builder.append(key=key, value=value, timestamp=None, headers=headers) is None:
                await producer.send_batch(builder, topic, partition=partition)
                builder = builders[partition] = producer.create_batch()
        for partition, builder in builders.items():
            if builder.record_count():
                await (await producer.send_batch(builder, topic, partition=partition))
        await producer.flush()
    return counts


def reader(bootstrap: str) -> AIOKafkaConsumer:
    """Reads what is committed, from the beginning of what it is assigned."""
    # Not by seek_to_beginning: a reset to the end that is under way can come after it.
    return AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        group_id=None,
    )


async def read_limit(bootstrap: str, events: int) -> float:
    """Seconds to read the same events with `getmany`, decode and check each: nothing of it kept."""
    codec = Codec()
    async with reader(bootstrap) as consumer:
        consumer.assign([TopicPartition(_INCIDENTS, number) for number in range(PARTITIONS)])
        seen, started = 0, time.perf_counter()
        while seen < events:
            for records in (await consumer.getmany(timeout_ms=200, max_records=4000)).values():
                for record in records:
                    decoded = codec.decode(record.value)
                    assert isinstance(decoded, tuple)
                    to_event(*decoded)
                seen += len(records)
        return time.perf_counter() - started


async def wait_applied(bootstrap: str, group: str, topic: str, counts: list[int]) -> float:
    """The instant (perf_counter) at which a group's committed offsets cover everything."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        while True:
            offsets = await admin.list_consumer_group_offsets(group)
            if all(
                (found := offsets.get(TopicPartition(topic, number))) is not None and found.offset >= count
                for number, count in enumerate(counts)
                if count
            ):
                return time.perf_counter()
            await asyncio.sleep(0.05)
    finally:
        await admin.close()


def measure(events: int, tenants: int = 1000) -> Round:
    """One round on a new broker: publish, then let a worker that is ready read it all."""
    with Stack(None, environment={"SLA_MARK_EVERY": "PT10S"}, partitions=PARTITIONS) as stack:
        stack.apply_topics()
        now = SystemTimeSource().now()
        counts = asyncio.run(publish(stack.bootstrap, _CONTRACTS, contracts(tenants, now, PARTITIONS)))
        stack.start_worker()
        asyncio.run(wait_applied(stack.bootstrap, "sla-ledger", _CONTRACTS, counts))
        stack.stop_worker()
        counts = asyncio.run(publish(stack.bootstrap, _INCIDENTS, incidents(events, now, PARTITIONS, tenants=tenants)))
        limit = asyncio.run(read_limit(stack.bootstrap, sum(counts)))
        stack.start_worker()
        ready = time.perf_counter()
        ended = asyncio.run(wait_applied(stack.bootstrap, "sla-incidents", _INCIDENTS, counts))
        return Round(sum(counts), ended - ready, limit)


class Benchmark(StrEnum):
    """What can be measured; each is a program of its own, with more options: python -m bench.NAME --help."""

    WORKER = "worker"
    PEERS = "peers"
    CROWD = "crowd"
    TENANTS = "tenants"
    CLOSE = "close"
    SECOND = "second"
    COST = "cost"
    SMALL_COST = "small_cost"
    TURNS = "turns"
    SCALE_OUT = "scale_out"
    INTAKE = "intake"
    LATE = "late"
    MONTHS = "months"


def bench(
    parts: Annotated[
        list[Benchmark] | None, typer.Argument(help="What to measure: the worker's speed, if nothing is named.")
    ] = None,
    events: Annotated[
        int | None, typer.Option("--events", min=1000, help="Incident events in each round (300000).")
    ] = None,
    rounds: Annotated[
        int | None, typer.Option("--rounds", min=1, help="Rounds, each from no state (3; peers: 5).")
    ] = None,
    tenants: Annotated[int, typer.Option("--tenants", min=1, help="Tenants under contract.")] = 1000,
    everything: Annotated[bool, typer.Option("--all", help="Everything: some 34 minutes.")] = False,
    report: Annotated[
        Path | None, typer.Option("--report", help="Where the peers' table and chart go: performance.md with markers.")
    ] = None,
) -> None:
    """Measure what docs/performance.md claims: a worker end to end, exactly once, and whatever else is named."""
    chosen = list(Benchmark) if everything else parts or [Benchmark.WORKER]
    given = {"--events": events, "--rounds": rounds}
    failed = 0
    for part in chosen:
        if len(chosen) > 1:
            print(f"== {part}", flush=True)
        if part is Benchmark.WORKER:
            measure_worker(events or 300_000, rounds or 3, tenants)
            continue
        options = [word for key, n in given.items() if n and part is Benchmark.PEERS for word in (key, str(n))]
        if part is Benchmark.PEERS and events is None:
            options += ["--events", "300000"]
        if part is Benchmark.PEERS and report is not None:
            options += ["--report", str(report)]
        failed += subprocess.run([sys.executable, "-m", f"bench.{part}", *options], check=False).returncode != 0
    raise typer.Exit(1 if failed else 0)


def measure_worker(events: int, rounds: int, tenants: int) -> None:
    """Rounds of a worker end to end beside the raw limit of reading and decoding the same topic."""
    print(f"{rounds} rounds of {events:,} incident events, {tenants:,} tenants, {PARTITIONS} partitions, one worker")
    done = []
    for number in range(rounds):
        result = measure(events, tenants)
        done.append(result)
        worker, limit = result.events / result.worker_s, result.events / result.limit_s
        print(f"round {number + 1}: worker {worker:,.0f}/s, read and decode {limit:,.0f}/s, ratio {result.ratio:.3f}")
    ratios = sorted(result.ratio for result in done)
    rates = sorted(result.events / result.worker_s for result in done)
    print(
        f"median: {median(rates):,.0f} events/s end to end, exactly once ({rates[0]:,.0f} to {rates[-1]:,.0f}); "
        f"ratio {median(ratios):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f}) of the raw limit"
    )
