"""Load for a deployment under fault: a history with money in it, then live incidents, some late, repeated or wrong."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from random import Random  # noqa: TID251 -- seeded

from aiokafka import AIOKafkaProducer

from cli.demo.command import history
from streams.kafka.partitioner import partition_of
from streams.serde.cloudevents_headers import headers_for
from streams.serde.cloudevents_json import parse_line
from streams.serde.codec import encode
from streams.sla.events import INCIDENT_RANK, Rejection
from streams.sla.instants import DAY, SECOND, format_rfc3339
from streams.time_source import SystemTimeSource

from .deployment import LIVE_PLAN, PARTITIONS, PREFIX

COMPONENTS = ("git_operations", "api_requests", "issues", "actions", "no-such-component")
IMPACTS = ("complete_outage", "critical_performance", "material_aspect", "processing_delay", "cosmetic")
SUPPORT, CUSTOMER = {"kind": "support", "id": "kim"}, {"kind": "customer", "id": "cho"}
TENANTS = 40
OPEN_AT_A_TIME = 150

Sent = tuple[str, int, bytes | None, bytes | None, list[tuple[str, bytes]]]
"""Topic, partition, key, value, headers."""


def record_of(line: str, *, backfill: bool = False) -> Sent:
    """Where a JSON line goes, and as what."""
    parsed = parse_line(line, inputs_only=True)
    assert not isinstance(parsed, Rejection), parsed
    kind, record = parsed
    record["backfill"] = backfill or record["backfill"]
    subject, time_us = str(record["subject"]), record["occurred_at"]
    assert isinstance(time_us, int)
    topic = f"{PREFIX}.{'incident' if kind in INCIDENT_RANK else 'contract'}-events"
    headers = headers_for(kind, str(record["event_id"]), str(record["source"]), subject, time_us)
    return topic, partition_of(subject, PARTITIONS), subject.encode(), encode(kind, record), headers


def past() -> Iterator[Sent]:
    """The history in examples/, and claims for every month of it: statements and credits, loaded as backfill."""
    tenants: set[str] = set()
    for line in history():
        event = json.loads(line)
        if event["type"] == "contract.set":
            tenants.add(event["subject"])
        yield record_of(line, backfill=True)
    for tenant in sorted(tenants):
        for month in (f"{year}-{number:02d}" for year in (2022, 2023, 2024) for number in range(1, 13)):
            year, number = int(month[:4]), int(month[5:])
            after = f"{year + number // 12}-{number % 12 + 1:02d}-10T00:00:00Z"
            data = {"tenant_id": tenant, "month": month, "who": CUSTOMER}
            yield record_of(line_of("credit.claimed", f"claim-{tenant}-{month}", tenant, after, data), backfill=True)


def contracts(now: int, *, backfill: bool = False) -> Iterator[Sent]:
    """Live tenants, on the plan of seconds."""
    for number in range(TENANTS):
        tenant = f"tenant-{number}"
        data = {
            "tenant_id": tenant,
            "valid_from": format_rfc3339(now - 30 * DAY),
            "plan": LIVE_PLAN,
            "monthly_charge": {"amount_minor": 100_000, "currency": "USD"},
            "tier": number % 3 + 1,
            "emergency_member": True,
        }
        line = line_of("contract.set", f"contract-{number}", tenant, format_rfc3339(now - SECOND), data)
        yield record_of(line, backfill=backfill)


def line_of(kind: str, name: str, subject: str, at: str, data: dict[str, object]) -> str:
    event = {"specversion": "1.0", "id": name, "type": kind, "source": "/faults", "subject": subject, "time": at}
    return json.dumps({**event, "data": data})


class Incidents:
    """Endless incident events; `next` takes the instant at which it is sent. `ending` resolves what is open."""

    def __init__(self, seed: int, name: str = "inc") -> None:
        self._random = Random(seed)
        self._name = f"{name}-{seed}"
        self._open: list[tuple[str, int]] = []
        self._opened = 0
        self._again: list[Sent] = []

    def next(self, now: int) -> Sent:
        random = self._random
        if self._again and random.random() < 0.03:
            return random.choice(self._again)
        if len(self._open) < OPEN_AT_A_TIME:
            name = f"{self._name}-{self._opened}"
            self._opened += 1
            self._open.append((name, 0))
            return self._keep(self._line("opened", name, 0, now, self._what()))
        slot = random.randrange(len(self._open))
        name, step = self._open[slot]
        self._open[slot] = (name, step + 1)
        at = now - random.choice((0, 0, 0, 1, 5)) * SECOND
        kind, data = self._step(step)
        if kind in {"resolved", "merged", "annulled"}:
            self._open[slot] = self._open[-1]
            self._open.pop()
        return self._keep(self._line(kind, name, step + 1, at, data))

    def ending(self, now: int) -> Iterator[Sent]:
        for name, step in self._open:
            yield self._line("resolved", name, step + 1, now, {})
        self._open.clear()

    def _keep(self, sent: Sent) -> Sent:
        if len(self._again) < 200:
            self._again.append(sent)
        return sent

    def _what(self) -> dict[str, object]:
        random = self._random
        if random.random() < 0.01:
            whom: dict[str, object] = {"scope": "platform"}
        else:
            whom = {"scope": "tenants", "tenant_ids": [f"tenant-{random.randrange(TENANTS)}" for _ in range(2)]}
        data = {"component": random.choice(COMPONENTS), "impact": random.choice(IMPACTS), "channel": "monitor"}
        return {**whom, **data, "summary": "requests fail"}

    def _step(self, step: int) -> tuple[str, dict[str, object]]:
        random = self._random
        if step >= 6 or random.random() < 0.1:
            return "resolved", {}
        four_eyes = {"who": SUPPORT, "approver": {"kind": "support", "id": "lee"}, "reason": "judged"}
        rare = random.random()
        if rare < 0.02:
            return "annulled", four_eyes
        if rare < 0.04:
            return "merged", {"into": f"{self._name}-0-into"}
        if rare < 0.08:
            return "amended", {**four_eyes, "counts_as_downtime": random.random() < 0.5}
        if rare < 0.15:
            return "reclassified", {"impact": random.choice(IMPACTS)}
        if rare < 0.2:
            return "severity_set", {"severity": random.choice(("P1", "P2", "P4", None)), "who": SUPPORT, "reason": "x"}
        if rare < 0.25:
            return "update_requested", {"who": CUSTOMER}
        return ("responded", {"who": SUPPORT}) if step == 0 else ("updated", {"who": SUPPORT, "visibility": "public"})

    def _line(self, kind: str, name: str, step: int, at: int, data: dict[str, object]) -> Sent:
        return record_of(line_of(f"incident.{kind}", f"{name}-{step}", name, format_rfc3339(at), data))


class Publisher:
    """Sends records from a thread of its own, acknowledged by all replicas, each once; patient with brokers."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._failed: BaseException | None = None
        self.sent = 0

    def send(self, records: Iterator[Sent]) -> None:
        """As fast as it goes; returns when all are acknowledged."""
        asyncio.run(self._run(lambda: next(records, None), rate=None))

    def start(self, incidents: Incidents, rate: float, *, mixed_in: Callable[[], Sent | None] = lambda: None) -> None:
        """Send so many a second until `finish`; `mixed_in` may give another record in place of the next."""
        clock = SystemTimeSource()

        def following() -> Sent | None:
            return None if self._stop.is_set() else mixed_in() or incidents.next(clock.now())

        def work() -> None:
            try:
                asyncio.run(self._run(following, rate))
            except BaseException as error:
                self._failed = error

        self._thread = threading.Thread(target=work, name="publisher")
        self._thread.start()

    def finish(self) -> None:
        """Returns when all that was sent is acknowledged. Raises what went wrong."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        if self._failed is not None:
            raise self._failed

    async def _run(self, following: Callable[[], Sent | None], rate: float | None) -> None:
        producer = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap,
            acks="all",
            enable_idempotence=True,
            request_timeout_ms=120_000,
            linger_ms=5,
            metadata_max_age_ms=5_000,
        )
        await producer.start()
        try:
            began, waiting = time.monotonic(), []
            while (sent := following()) is not None:
                topic, partition, key, value, headers = sent
                waiting.append(await producer.send(topic, value, key, partition, headers=headers))
                self.sent += 1
                if rate is not None and (ahead := self.sent / rate - (time.monotonic() - began)) > 0:
                    await asyncio.sleep(ahead)
                if len(waiting) > 2_000:
                    await asyncio.gather(*waiting)
                    waiting.clear()
            await asyncio.gather(*waiting)
        finally:
            await producer.stop()
