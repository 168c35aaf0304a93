"""How long after an event its classification can be read, and after a deadline its breach, while events flow.

The load is `bench.load`'s, encoded beforehand and sent as ready batches, so that publishing costs little. Among
it are timed openings, half of them a day old so that their deadlines lie within the measurement. The reader looks
at keys and headers; it decodes breaches of timed openings alone.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import time
from collections.abc import Awaitable
from dataclasses import dataclass, field
from statistics import quantiles
from typing import TypeVar

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.producer.message_accumulator import BatchBuilder

from bench.load import SOURCE, Encoded, encoded, incidents
from bench.throughput import reader
from streams.serde.codec import Codec
from streams.sla.events import Rejection
from streams.sla.instants import HOUR, SECOND
from streams.time_source import SystemTimeSource

T = TypeVar("T")
RESPONSE = 24 * HOUR
"""P3 of the bench's policy may take so long: an incident that old breaches now."""
TICKS = 50
"""Batches a second and partition."""
TIMED = 100
"""Timed openings a second, at most."""
_LAST_DUE_S = 1
_GRACE_S = 30.0


@dataclass(slots=True)
class Latencies:
    """Seconds each; `sent` counts events per partition, `took_s` how long sending them took."""

    classified: list[float] = field(default_factory=list)
    breached: list[float] = field(default_factory=list)
    sent: list[int] = field(default_factory=list)
    took_s: float = 0.0
    expected: int = 0
    """Timed openings, of which half have a deadline."""


def opening(name: str, at: int, partitions: int, tenants: int = 1000) -> Encoded:
    """A P3 incident of one of so many tenants."""
    record: dict[str, object] = {
        "event_id": f"{name}-open",
        "source": SOURCE,
        "subject": name,
        "occurred_at": at,
        "scope": "tenants",
        "tenant_ids": [f"tenant-{int(name.rpartition('-')[2]) % tenants}"],
        "component": "git_operations",
        "impact": "processing_delay",
        "channel": "monitor",
    }
    return encoded("incident.opened", record, partitions)


@dataclass(slots=True)
class _Timed:
    """Openings under way: when they were sent (perf_counter), and when they are due (microseconds)."""

    tenants: int
    sent_at: dict[bytes, float] = field(default_factory=dict)
    due_at: dict[bytes, int] = field(default_factory=dict)


async def measure_latency(bootstrap: str, partitions: int, rate: int, seconds: int, tenants: int = 1000) -> Latencies:
    """`rate` events a second for so long, with up to `TIMED` timed openings among them."""
    per_second = min(rate, TIMED)
    load = list(
        incidents(
            (rate - per_second) * seconds,
            SystemTimeSource().now(),
            partitions,
            tenants=tenants,
            seed=SystemTimeSource().now(),
        )
    )
    found = Latencies(sent=[0] * partitions, expected=per_second * seconds)
    timed = _Timed(tenants)
    collected = gc.get_threshold()
    gc.freeze()
    gc.disable()  # a collection over the prepared load would be measured
    reading = asyncio.create_task(_read(bootstrap, partitions, timed, found))
    try:
        await asyncio.sleep(1)  # the reader is at the end before the first is sent
        await _send(bootstrap, partitions, load, per_second, seconds, timed, found)
        deadline = time.perf_counter() + _GRACE_S
        while len(found.breached) < len(timed.due_at) or len(found.classified) < len(timed.sent_at):
            if time.perf_counter() > deadline or reading.done():
                break
            await asyncio.sleep(0.1)
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        gc.unfreeze()
        gc.enable()
        gc.set_threshold(*collected)
    return found


async def beside(work: Awaitable[T], measuring: Awaitable[Latencies]) -> tuple[T, Latencies]:
    """What something comes to while latencies are measured, and they."""
    return await asyncio.gather(work, measuring)


async def _send(
    bootstrap: str,
    partitions: int,
    load: list[Encoded],
    per_second: int,
    seconds: int,
    timed: _Timed,
    found: Latencies,
) -> None:
    clock, waiting = SystemTimeSource(), []
    run = clock.now()  # no id comes again on the same broker
    ticks = seconds * TICKS
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", max_batch_size=512 * 1024) as producer:
        await producer.partitions_for("sla.incident-events")
        began, done = time.perf_counter(), 0
        for tick in range(ticks):
            ahead = tick / TICKS - (time.perf_counter() - began)
            if ahead > 0:
                await asyncio.sleep(ahead)
            upto = per_second * seconds * (tick + 1) // ticks
            probes = [
                _timed(run, number, clock.now(), partitions, seconds, tick, timed) for number in range(done, upto)
            ]
            done = upto
            share = load[len(load) * tick // ticks : len(load) * (tick + 1) // ticks]
            builders: dict[int, BatchBuilder] = {}
            for _, partition, key, value, headers in itertools.chain(share, probes):
                builder = builders.get(partition)
                if builder is None:
                    builder = builders[partition] = producer.create_batch()
                assert builder.append(key=key, value=value, timestamp=None, headers=headers) is not None
                found.sent[partition] += 1
            now = time.perf_counter()
            for probe in probes:
                timed.sent_at[probe[2]] = now
            for partition, builder in builders.items():
                waiting.append(await producer.send_batch(builder, "sla.incident-events", partition=partition))
        await asyncio.gather(*waiting)
        found.took_s = time.perf_counter() - began


def _timed(run: int, number: int, now: int, partitions: int, seconds: int, tick: int, timed: _Timed) -> Encoded:
    name = f"timed-{run}-{number}"
    if number % 2:
        return opening(name, now - HOUR, partitions, timed.tenants)
    # Somewhere in the rest of the measurement, spread evenly; one that comes last, just after it.
    left = max(_LAST_DUE_S, seconds - tick // TICKS - 1) * SECOND
    due = now + SECOND // 2 + number * 7919 % left
    timed.due_at[name.encode()] = due
    return opening(name, due - RESPONSE, partitions, timed.tenants)


async def _read(bootstrap: str, partitions: int, timed: _Timed, found: Latencies) -> None:
    clock, codec = SystemTimeSource(), Codec()
    topics = ("sla.incidents", "sla.alerts")
    async with reader(bootstrap) as consumer:
        assigned = [TopicPartition(topic, number) for topic in topics for number in range(partitions)]
        consumer.assign(assigned)
        for where, end in (await consumer.end_offsets(assigned)).items():
            consumer.seek(where, end)
        while True:
            batches = await consumer.getmany(timeout_ms=500)
            at, now = time.perf_counter(), clock.now()
            for record in itertools.chain.from_iterable(batches.values()):
                if not record.key.startswith(b"timed-"):
                    continue
                kind = next((value for name, value in record.headers if name == "ce_type"), b"")
                if kind == b"incident.classified":
                    found.classified.append(at - timed.sent_at[record.key])
                elif kind == b"sla.breached" and record.key in timed.due_at and _of_response(codec, record.value):
                    found.breached.append((now - timed.due_at[record.key]) / SECOND)


def _of_response(codec: Codec, value: bytes) -> bool:
    decoded = codec.decode(value)
    assert not isinstance(decoded, Rejection)
    return decoded[1]["metric"] == "response"


def shown(what: str, seconds: list[float], expected: int) -> str:
    """Quantiles in milliseconds, of those that came."""
    if len(seconds) < 20:
        return f"{what}: only {len(seconds)} of {expected} seen"
    cuts = quantiles(seconds, n=100)
    missing = f", {expected - len(seconds)} missing" if len(seconds) < expected else ""
    return f"{what} p50 {cuts[49] * 1e3:,.0f} p99 {cuts[98] * 1e3:,.0f} max {max(seconds) * 1e3:,.0f} ms{missing}"


def latency_line(rate: int, found: Latencies) -> str:
    """A line about one rate; says so where the load did not get through as fast as it should."""
    reached = sum(found.sent) / found.took_s
    early = sum(after < 0 for after in found.breached)
    false = f", {early} of them before it" if early else ""  # that must not be: the load's terms, or a clock, are wrong
    late = f" ({reached:,.0f} reached)" if reached < 0.98 * rate else ""
    return (
        f"{rate:,} events/s{late}: {shown('classified after', found.classified, found.expected)}; "
        f"{shown('breach after its deadline', found.breached, found.expected // 2)}{false}"
    )
