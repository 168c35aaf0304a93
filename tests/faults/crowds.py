"""Many incidents that stay open for hours, for scenarios about their number: a plan with long targets, no downtime."""

from __future__ import annotations

import time
from collections.abc import Iterator

from kafka import KafkaConsumer, TopicPartition

from streams.runtime.settings import RuntimeSettings
from streams.sla.instants import DAY, SECOND, format_rfc3339
from streams.time_source import SystemTimeSource

from .deployment import PARTITIONS, POLICY, PREFIX, wait_for
from .load import Publisher, Sent, line_of, record_of
from .run import Run

#: Each tenant has so many incidents of the crowd.
EACH = 100
RESPONSE_S = 24 * 60 * 60
"""P3 of the default policy: this long to respond; the next deadline comes six hours later."""


def crowd(name: str, count: int, opened_at: int) -> Iterator[Sent]:
    """Openings at one instant, so that all deadlines are the same."""
    at = format_rfc3339(opened_at)
    for number in range(count):
        data: dict[str, object] = {
            "scope": "tenants",
            "tenant_ids": [f"{name}-tenant-{number // EACH}"],
            "component": "git_operations",
            "impact": "processing_delay",
            "channel": "monitor",
        }
        yield record_of(line_of("incident.opened", f"{name}-{number}-0", f"{name}-{number}", at, data))


def tenants(name: str, count: int) -> Iterator[Sent]:
    """Contracts of a crowd of so many incidents."""
    now = SystemTimeSource().now()
    for number in range((count + EACH - 1) // EACH):
        tenant = f"{name}-tenant-{number}"
        data: dict[str, object] = {
            "tenant_id": tenant,
            "valid_from": format_rfc3339(now - DAY),
            "plan": POLICY,
            "monthly_charge": {"amount_minor": 10_000, "currency": "USD"},
            "emergency_member": False,
        }
        line = line_of("contract.set", f"{tenant}-contract", tenant, format_rfc3339(now - SECOND), data)
        yield record_of(line)


def load(run: Run, name: str, count: int, opened_at: int | None = None) -> float:
    """Publish a crowd, contracts first; the seconds that it took."""
    began = time.monotonic()
    publisher = Publisher(run.deployment.bootstrap)
    publisher.send(tenants(name, count))
    for agent, topic in (
        ("ledger", "contract-events"),
        ("incidents", "incidents-internal"),
    ):  # the way of contract terms
        _wait_until_applied(run, agent, topic)
    publisher.send(crowd(name, count, SystemTimeSource().now() if opened_at is None else opened_at))
    return time.monotonic() - began


def _wait_until_applied(run: Run, agent: str, topic: str) -> None:
    """Until the agent has applied what lies in its input now: what is classified before its contract is known is
    classified twice, and the oracle knows of no delay."""
    group = RuntimeSettings(app_id=PREFIX, brokers=(run.deployment.bootstrap,), prefix=PREFIX).group(agent)
    consumer = KafkaConsumer(bootstrap_servers=run.deployment.bootstrap, group_id=group, enable_auto_commit=False)
    try:
        wanted = [TopicPartition(f"{PREFIX}.{topic}", number) for number in range(PARTITIONS)]
        for each, end in consumer.end_offsets(wanted).items():
            # The last offset may be the mark of a transaction, which nobody commits.
            wait_for(lambda each=each, end=end: (consumer.committed(each) or 0) >= end - 1, "terms are known", 180)
    finally:
        consumer.close()
