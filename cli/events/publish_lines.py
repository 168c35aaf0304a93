"""Publishes JSON lines to the input topics: every line checked first, every event acknowledged by the broker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from connect.kafka_io.batches import Batches, SentRange, sending
from connect.kafka_io.connection import partitions_of
from streams.kafka.partitioner import partition_of
from streams.lines import UnreadableFile
from streams.serde.input_records import CONTRACT_EVENTS, INCIDENT_EVENTS, InputRecord, input_record_from_line
from streams.sla.events import Event, Rejection

_LINES_A_TURN = 1_000
_IDLE_S = 0.05


class BadLine(NamedTuple):
    """A line (numbered from 1) that is not an event of the contract, and why."""

    number: int
    rejection: Rejection

    def __str__(self) -> str:
        return f"{self.number}: {self.rejection.code}: {self.rejection.message}"


@dataclass(slots=True)
class Published:
    """Events acknowledged by the broker and where they are, and lines that were not sent because they are invalid."""

    acknowledged: int = 0
    ranges: list[SentRange] = field(default_factory=list)
    backfill: bool = False
    """Whether any of the events is history being loaded."""
    begun: bool = False
    """Whether any event may have reached the broker."""
    ended: bool = False
    """Whether all that was sent is acknowledged."""
    bad: list[BadLine] = field(default_factory=list)


def _unchecked(_: Event) -> None:
    return None


def prepare(
    number: int, line: str, *, backfill: bool = False, check: Callable[[Event], Rejection | None] = _unchecked
) -> InputRecord | BadLine:
    """The record of one line, or why there is none. `backfill` marks the event as history being loaded (R5). `check`
    may reject an event for its time."""
    if (nul := line.find("\0")) >= 0:  # lines.decoded turns bytes that are not UTF-8 into NUL
        return BadLine(number, Rejection("undecodable", f"what is at column {nul + 1} is not UTF-8 text"))
    record = input_record_from_line(line, backfill=backfill)
    if isinstance(record, Rejection):
        return BadLine(number, record)
    rejection = check(record.event)
    return record if rejection is None else BadLine(number, rejection)


def publish_lines(
    lines: Iterable[str | None],
    bootstrap: Iterable[str],
    prefix: str = "sla",
    *,
    backfill: bool = False,
    keep_going: bool = False,
    security: Mapping[str, object] | None = None,
    framed: Callable[[bytes], bytes] = bytes,
    on_line: Callable[[], None] = lambda: None,
    on_bad: Callable[[BadLine], None] = lambda _: None,
    on_event: Callable[[int, Event, str], None] = lambda number, event, line: None,
    check: Callable[[Event], Rejection | None] = _unchecked,
    published: Published | None = None,
) -> Published:
    """Publish JSON lines; returns when the broker has acknowledged all that was sent. Blank lines are skipped.

    The first bad line ends it, with everything before it acknowledged; with `keep_going` the good ones after it are
    sent too. A None among the lines means that no more have arrived yet. `security` are aiokafka's options,
    `framed` makes the values that go to Kafka (streams.serde.confluent_framing), `check` may reject an event for its
    time. Raises BrokerProblem, and UnreadableFile once all lines before are acknowledged; `published` says then, and
    after Ctrl-C, how many are.
    """
    addresses, into = list(bootstrap), published or Published()
    topics = {suffix: f"{prefix}.{suffix}" for suffix in (INCIDENT_EVENTS, CONTRACT_EVENTS)}

    async def send(batches: Batches, partitions: Mapping[str, list[int]]) -> None:
        for number, line in _numbered(lines):
            if line is None:
                await batches.flush()
                await asyncio.sleep(_IDLE_S)
                continue
            ready = prepare(number, line, backfill=backfill, check=check)
            if isinstance(ready, BadLine):
                into.bad.append(ready)
                on_bad(ready)
                if not keep_going:
                    break
                continue
            topic = topics[ready.topic]
            partition = partition_of(ready.subject, len(partitions[topic]))
            await batches.add(topic, partition, ready.subject.encode(), framed(ready.value), ready.headers)
            into.begun = True
            into.backfill |= ready.event.backfill
            on_event(number, ready.event, line)
            on_line()
            if number % _LINES_A_TURN == 0:
                await asyncio.sleep(0)  # lets the sender work

    async def publish() -> None:
        partitions = await partitions_of(addresses, topics.values(), security)
        batches: Batches | None = None
        try:
            async with sending(addresses, security) as batches:
                try:
                    await send(batches, partitions)
                except UnreadableFile:
                    await batches.flush()
                    raise
        finally:
            if batches is not None:
                into.acknowledged, into.ranges = batches.acknowledged, batches.ranges

    asyncio.run(publish())
    into.ended = True
    return into


def _numbered(lines: Iterable[str | None]) -> Iterator[tuple[int, str | None]]:
    """Lines with their numbers, without the blank ones."""
    number = 0
    for line in lines:
        number += line is not None
        if line is None or line.strip():
            yield number, line
