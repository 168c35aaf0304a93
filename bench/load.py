"""A realistic load: incidents that open, are answered, updated and resolved, interleaved in time."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random  # noqa: TID251 -- seeded, so that every run has the same load

from streams.kafka.partitioner import partition_of
from streams.serde import codec
from streams.serde.cloudevents_headers import headers_for
from streams.sla.instants import DAY, SECOND

SOURCE = "/bench/monitor"
COMPONENTS = ("ui", "api", "auto_scaling", "auto_healing", "guest_agent")
IMPACTS = ("complete_outage", "critical_performance", "material_aspect", "processing_delay", "cosmetic")

Encoded = tuple[str, int, bytes, bytes, list[tuple[str, bytes]]]
"""Event type, partition, key, value, headers."""


def contracts(
    tenants: int,
    now: int,
    partitions: int,
    plan: str = "scalr-emergency",
    *,
    since: int = 30 * DAY,
    backfill: bool = False,
) -> Iterator[Encoded]:
    """One contract per tenant, in force since so long before `now`."""
    for number in range(tenants):
        tenant = f"tenant-{number}"
        record = {
            "event_id": f"contract-{number}",
            "source": "/bench/billing",
            "subject": tenant,
            "occurred_at": now - since,
            "backfill": backfill,
            "tenant_id": tenant,
            "valid_from": now - since,
            "plan": plan,
            "monthly_charge": {"amount_minor": 100_000, "currency": "USD"},
            "tier": number % 3 + 1,
            "emergency_member": True,
        }
        yield encoded("contract.set", record, partitions)


def incidents(events: int, now: int, partitions: int, *, tenants: int = 1000, seed: int = 1) -> Iterator[Encoded]:
    """About `events` incident events of the last minute before `now`: 6 per incident on average, 1,000 incidents at a
    time; four in five incidents concern one tenant, one in a thousand is platform-wide."""
    random = Random(seed)
    start = now - 60 * SECOND
    open_incidents: list[tuple[str, int]] = []
    opened = 0
    for number in range(events):
        at = start + 59 * SECOND * number // events
        if len(open_incidents) < 1000:
            name = f"inc-{seed}-{opened}"
            opened += 1
            open_incidents.append((name, 0))
            yield encoded("incident.opened", _opened(random, name, at, tenants), partitions)
            continue
        slot = random.randrange(len(open_incidents))
        name, step = open_incidents[slot]
        open_incidents[slot] = (name, step + 1)
        base: dict[str, object] = {"event_id": f"{name}-{step}", "source": SOURCE, "subject": name, "occurred_at": at}
        who = {"kind": "support", "id": "agent-7"}
        if step == 0:
            yield encoded("incident.responded", {**base, "who": who}, partitions)
        elif step < 4:
            yield encoded("incident.updated", {**base, "who": who, "visibility": "public"}, partitions)
        else:
            open_incidents[slot] = open_incidents[-1]
            open_incidents.pop()
            yield encoded("incident.resolved", base, partitions)


def _opened(random: Random, name: str, at: int, tenants: int) -> dict[str, object]:
    platform = random.random() < 0.001
    count = 1 if random.random() < 0.8 else 3
    return {
        "event_id": f"{name}-open",
        "source": SOURCE,
        "subject": name,
        "occurred_at": at,
        "scope": "platform" if platform else "tenants",
        "tenant_ids": [] if platform else [f"tenant-{random.randrange(tenants)}" for _ in range(count)],
        "component": random.choice(COMPONENTS),
        "impact": random.choice(IMPACTS),
        "tier": None,
        "channel": "monitor",
        "summary": "requests to the service fail with errors",
    }


def encoded(event_type: str, record: dict[str, object], partitions: int) -> Encoded:
    """An event as its publisher would send it."""
    subject = str(record["subject"])
    headers = headers_for(
        event_type, str(record["event_id"]), str(record["source"]), subject, int(str(record["occurred_at"]))
    )
    return event_type, partition_of(subject, partitions), subject.encode(), codec.encode(event_type, record), headers
