"""Sends JSON lines to the input topics: every line checked first, every event acknowledged by the broker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer

from cli.connection import REQUEST_TIMEOUT_MS, BrokerProblem, explained, partitions_of
from streams.codec import MAX_RECORD_BYTES, encode
from streams.headers import headers_for
from streams.json_form import parse_line
from streams.partition import partition_of
from streams.sla.events import INCIDENT_RANK, Event, Rejection
from streams.sla.facts import to_event
from streams.sla.instants import format_rfc3339

INCIDENT_TOPIC = "incident-events"
CONTRACT_TOPIC = "contract-events"

_LINGER_MS = 20
_BATCH_BYTES = 256 * 1024
_IN_FLIGHT_BATCHES = 64
_LINES_A_TURN = 1_000
_IDLE_S = 0.05


class Ready(NamedTuple):
    """A checked event as it goes to Kafka."""

    topic: str
    subject: str
    value: bytes
    headers: list[tuple[str, bytes]]


class BadLine(NamedTuple):
    """A line (numbered from 1) that is no event of the contract, and why."""

    number: int
    refusal: Rejection

    def __str__(self) -> str:
        return f"{self.number}: {self.refusal.code}: {self.refusal.message}"


class PublishingStopped(BrokerProblem):
    """The broker went away or refused; `acknowledged` events are in Kafka, some after them may be."""

    def __init__(self, reason: str, acknowledged: int) -> None:
        super().__init__(f"{reason} ({acknowledged:,} events were acknowledged before)")
        self.acknowledged = acknowledged


@dataclass(slots=True)
class Published:
    """What came of it: events acknowledged by the broker, and lines that were not sent because they are wrong."""

    acknowledged: int = 0
    bad: list[BadLine] = field(default_factory=list)


def prepare(number: int, line: str, *, backfill: bool = False) -> Ready | BadLine:
    """The record of one line, or why there is none. `backfill` marks the event as history being loaded (R5)."""
    if (nul := line.find("\0")) >= 0:  # what lines.decoded makes of other bytes
        return BadLine(number, Rejection("undecodable", f"what is at column {nul + 1} is not UTF-8 text"))
    parsed = parse_line(line, inputs_only=True)
    if isinstance(parsed, Rejection):
        return BadLine(number, parsed)
    event_type, record = parsed
    if backfill:
        record["backfill"] = True
    event = to_event(event_type, record)
    if isinstance(event, Rejection):
        return BadLine(number, event)
    value = encode(event_type, record)
    if len(value) > MAX_RECORD_BYTES:
        message = f"the record has {len(value):,} bytes; at most {MAX_RECORD_BYTES:,} are allowed"
        return BadLine(number, Rejection("oversize", message, event.id))
    topic = INCIDENT_TOPIC if event_type in INCIDENT_RANK else CONTRACT_TOPIC
    return Ready(topic, event.subject, value, _headers(event))


def publish_lines(
    lines: Iterable[str | None],
    bootstrap: Iterable[str],
    prefix: str = "sla",
    *,
    backfill: bool = False,
    keep_going: bool = False,
    security: Mapping[str, object] | None = None,
    on_line: Callable[[], None] = lambda: None,
    on_bad: Callable[[BadLine], None] = lambda _: None,
) -> Published:
    """Publish JSON lines; returns when the broker has acknowledged all that was sent. Blank lines are skipped.

    The first bad line ends it, with everything before it acknowledged; with `keep_going` the good ones after it are
    sent too. A None among the lines says that no more have arrived yet. `security` is what aiokafka takes.
    Raises BrokerProblem.
    """
    return asyncio.run(
        publish(
            lines,
            bootstrap,
            prefix,
            backfill=backfill,
            keep_going=keep_going,
            security=security,
            on_line=on_line,
            on_bad=on_bad,
        )
    )


async def publish(
    lines: Iterable[str | None],
    bootstrap: Iterable[str],
    prefix: str = "sla",
    *,
    backfill: bool = False,
    keep_going: bool = False,
    security: Mapping[str, object] | None = None,
    on_line: Callable[[], None] = lambda: None,
    on_bad: Callable[[BadLine], None] = lambda _: None,
) -> Published:
    """`publish_lines` within a running event loop."""
    addresses = list(bootstrap)
    topics = {suffix: f"{prefix}.{suffix}" for suffix in (INCIDENT_TOPIC, CONTRACT_TOPIC)}
    partitions = await partitions_of(addresses, topics.values(), security)
    published = Published()
    producer = AIOKafkaProducer(
        bootstrap_servers=addresses,
        client_id="sla-publish",
        acks="all",
        enable_idempotence=True,
        linger_ms=_LINGER_MS,
        max_batch_size=_BATCH_BYTES,
        request_timeout_ms=REQUEST_TIMEOUT_MS,
        **(security or {}),
    )
    with explained(addresses):
        await producer.start()
    batches = _Batches(producer)
    try:
        with explained(addresses):
            for number, line in _numbered(lines):
                if line is None:
                    await batches.flush()
                    await asyncio.sleep(_IDLE_S)
                    continue
                ready = prepare(number, line, backfill=backfill)
                if isinstance(ready, BadLine):
                    published.bad.append(ready)
                    on_bad(ready)
                    if not keep_going:
                        break
                    continue
                topic = topics[ready.topic]
                await batches.add(topic, partition_of(ready.subject, len(partitions[topic])), ready)
                on_line()
                if number % _LINES_A_TURN == 0:
                    await asyncio.sleep(0)  # lets the sender work
            await batches.flush()
    except BrokerProblem as problem:
        raise PublishingStopped(str(problem), batches.acknowledged) from problem
    finally:
        await batches.abandon()
        await producer.stop()
    published.acknowledged = batches.acknowledged
    return published


class _Batches:
    """One record batch being filled for each partition; sent when full or when asked."""

    def __init__(self, producer: Any) -> None:
        self._producer = producer
        self._open: dict[tuple[str, int], Any] = {}
        self._sent: list[tuple[asyncio.Future[object], int]] = []
        self.acknowledged = 0

    async def add(self, topic: str, partition: int, ready: Ready) -> None:
        where = (topic, partition)
        batch = self._open.get(where)
        if batch is not None and self._append(batch, ready):
            return
        if batch is not None:
            await self._send(where)
        batch = self._open[where] = self._producer.create_batch()
        assert self._append(batch, ready)

    async def flush(self) -> None:
        """Send what waits and await every acknowledgement."""
        for where in list(self._open):
            await self._send(where)
        await self._acknowledge(0)

    async def abandon(self) -> None:
        """After an error: forget what is under way."""
        for future, _ in self._sent:
            future.cancel()
        await asyncio.gather(*(future for future, _ in self._sent), return_exceptions=True)

    async def _send(self, where: tuple[str, int]) -> None:
        batch = self._open.pop(where)
        batch.close()
        future = await self._producer.send_batch(batch, where[0], partition=where[1])
        self._sent.append((future, batch.record_count()))
        await self._acknowledge(_IN_FLIGHT_BATCHES)

    async def _acknowledge(self, leave: int) -> None:
        while len(self._sent) > leave:
            future, count = self._sent[0]
            await future
            self.acknowledged += count
            del self._sent[0]

    @staticmethod
    def _append(batch: Any, ready: Ready) -> bool:
        added = batch.append(timestamp=None, key=ready.subject.encode(), value=ready.value, headers=ready.headers)
        return added is not None


def _numbered(lines: Iterable[str | None]) -> Iterator[tuple[int, str | None]]:
    """Lines with their numbers, without the blank ones."""
    number = 0
    for line in lines:
        number += line is not None
        if line is None or line.strip():
            yield number, line


def _headers(event: Event) -> list[tuple[str, bytes]]:
    headers = headers_for(event.type, event.id, event.source, event.subject, event.time, traceparent=event.traceparent)
    if event.backfill:
        headers.append(("ce_backfill", b"true"))
    if event.received is not None:
        headers.append(("ce_receivedtime", format_rfc3339(event.received).encode()))
    return headers
