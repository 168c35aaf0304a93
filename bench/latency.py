"""How long after an event its classification can be read, and after a deadline its breach, at a steady rate."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from bench.load import SOURCE, Encoded, encoded
from streams.clock import SystemClock
from streams.codec import Codec
from streams.sla.events import Rejection
from streams.sla.instants import HOUR, SECOND

RESPONSE = 24 * HOUR
"""P3 of the bench's policy may take so long: an incident that old breaches now."""
DUE_SHARE = 5
"""One event in so many has a deadline within the measurement."""
_GRACE_S = 15.0


@dataclass(slots=True)
class Latencies:
    """Seconds each; `sent` counts events per partition."""

    classified: list[float] = field(default_factory=list)
    breached: list[float] = field(default_factory=list)
    sent: list[int] = field(default_factory=list)


def opening(name: str, at: int, partitions: int) -> Encoded:
    """A P3 incident of one tenant."""
    record: dict[str, object] = {
        "event_id": f"{name}-open",
        "source": SOURCE,
        "subject": name,
        "occurred_at": at,
        "scope": "tenants",
        "tenant_ids": [f"tenant-{int(name.rpartition('-')[2]) % 1000}"],
        "component": "git_operations",
        "impact": "processing_delay",
        "channel": "monitor",
    }
    return encoded("incident.opened", record, partitions)


async def measure_latency(bootstrap: str, partitions: int, rate: int, seconds: int) -> Latencies:
    """Openings at a rate; a share of them is a day old, so that their deadlines lie within the measurement."""
    found, sent_at, due_at = Latencies(sent=[0] * partitions), dict[str, float](), dict[str, int]()
    readers = [
        asyncio.create_task(_read(bootstrap, partitions, topic, sent_at, due_at, found))
        for topic in ("sla.incidents", "sla.alerts")
    ]
    try:
        async with AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all") as producer:
            clock, began, waiting = SystemClock(), time.perf_counter(), []
            for number in range(rate * seconds):
                now = clock.now()
                at = now - HOUR
                name = f"timed-{number}"
                if number % DUE_SHARE == 0:
                    due_at[name] = now + (2 + number % (seconds - 1)) * SECOND // 2
                    at = due_at[name] - RESPONSE
                _, partition, key, value, headers = opening(name, at, partitions)
                found.sent[partition] += 1
                sent_at[name] = time.perf_counter()
                waiting.append(await producer.send("sla.incident-events", value, key, partition, headers=headers))
                ahead = (number + 1) / rate - (time.perf_counter() - began)
                if ahead > 0:
                    await asyncio.sleep(ahead)
            await asyncio.gather(*waiting)
        deadline = time.perf_counter() + _GRACE_S + seconds
        while len(found.breached) < len(due_at) or len(found.classified) < len(sent_at):
            if time.perf_counter() > deadline:
                break
            await asyncio.sleep(0.1)
    finally:
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
    return found


async def _read(
    bootstrap: str,
    partitions: int,
    topic: str,
    sent_at: dict[str, float],
    due_at: dict[str, int],
    found: Latencies,
) -> None:
    clock, codec = SystemClock(), Codec()
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, isolation_level="read_committed", group_id=None, enable_auto_commit=False
    )
    async with consumer:
        consumer.assign([TopicPartition(topic, number) for number in range(partitions)])
        await consumer.seek_to_end()
        async for record in consumer:
            name = record.key.decode()
            if name not in sent_at:
                continue
            decoded = codec.decode(record.value)
            assert not isinstance(decoded, Rejection)
            if decoded[0] == "incident.classified":
                found.classified.append(time.perf_counter() - sent_at[name])
            elif decoded[0] == "sla.breached" and name in due_at and decoded[1]["metric"] == "response":
                found.breached.append((clock.now() - due_at[name]) / SECOND)
