"""Intakes that share a topic of heartbeats in memory, whose clock is the test's: what tests of heartbeats share."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from connect.intake.byte_budget import ByteBudget
from connect.intake.heartbeats.reader import LogRow
from connect.intake.heartbeats.rows import TOPIC, MonitorId, decode_row
from connect.intake.heartbeats.service import Heartbeats
from connect.intake.heartbeats.silence_detector import SHORTEST_GAP
from connect.intake.kafka_records import OutgoingRecord
from connect.intake.mapping.rules import Source
from connect.intake.mapping_file import mapping_in
from connect.intake.metrics import IntakeMetrics
from connect.intake.record_publisher import Unavailable
from streams.serde.cloudevents_json import to_json
from streams.serde.codec import decode
from streams.sla.events import Rejection
from streams.sla.instants import SECOND, parse_rfc3339

START = parse_rfc3339("2026-04-10T08:00:00Z")
MAPPING = """\
version: 1
sources:
  jobs:
    format: heartbeat
    secrets: [{env: SLA_INTAKE_JOBS_TOKEN}]
    monitors:
      backup: {every: PT60S, grace: PT30S}
      probe-*: {every: PT20S, grace: PT10S}
    component: [{value: api}]
    impact: [{value: complete_outage}]
    tenants:
      - {when: {monitor.name: backup}, scope: platform}
      - {from: monitor.wildcard}
"""


def sources_of(text: str = MAPPING) -> dict[str, Source]:
    return mapping_in(text.encode(), "intake.yaml")


class Killed(BaseException):
    """kill -9: nothing of the process goes on."""


class Cluster:
    """The topic of heartbeats, and the events that were published, as the broker has them."""

    def __init__(self, partitions: int = 2) -> None:
        self.now = START
        self.away = False
        self.hangs: Callable[[OutgoingRecord], bool] = lambda _: False
        """Which records are acknowledged by nobody."""
        self.refused = asyncio.Event()
        """Set where that is told at once."""
        self.partitions: list[list[LogRow]] = [[] for _ in range(partitions)]
        self.offsets = [0] * partitions
        self.events: list[dict[str, Any]] = []

    def append(self, records: Sequence[OutgoingRecord]) -> None:
        for record in records:
            if record.topic != TOPIC:
                decoded = decode(record.value)
                assert not isinstance(decoded, Rejection)
                self.events.append(to_json(*decoded))
                continue
            assert record.partition is not None
            at = self.now // 1000 * 1000
            row = LogRow(record.partition, self.offsets[record.partition], record.key.encode(), record.value, at)
            self.offsets[record.partition] += 1
            self.partitions[record.partition].append(row)

    def compact(self, keep_s: int) -> None:
        """Remove rows that newer ones replace, apart from those of the last seconds."""
        for rows in self.partitions:
            newest = {row.key: row.offset for row in rows}
            rows[:] = [row for row in rows if row.offset == newest[row.key] or row.at > self.now - keep_s * SECOND]

    def unique_events(self) -> dict[str, dict[str, Any]]:
        """The events by id; each id has one content."""
        found: dict[str, dict[str, Any]] = {}
        for event in self.events:
            assert found.setdefault(event["id"], event) == event
        return found


class MemoryReader:
    """Reads the topic."""

    problem: str | None = None
    leaderless: int | None = None
    """A partition that is not read, and whose end is not known."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._next: list[int] = []
        self._ends: list[int] = []

    async def open(self) -> int:
        self._next, self._ends = [0] * len(self._cluster.partitions), list(self._cluster.offsets)
        return len(self._next)

    async def read(self) -> Sequence[LogRow]:
        if self._cluster.away:
            return []
        rows = zip(self._cluster.partitions, self._next, strict=True)
        found = [row for partition, start in rows for row in partition if row.offset >= start]
        self._next = list(self._cluster.offsets)
        return [row for row in found if row.partition != self.leaderless]

    def caught_up(self, partition: int) -> bool:
        return partition != self.leaderless and self._next[partition] >= self._ends[partition]

    async def close(self) -> None:
        """Nothing is open."""


class MemoryPublisher:
    """Writes to the cluster. `writes_left`: the process is killed after so many more writes."""

    def __init__(self, cluster: Cluster) -> None:
        self.in_flight = ByteBudget(1 << 30)
        self.known_time: int | None = 0
        self.writes_left: int | None = None
        self._cluster = cluster

    async def publish(self, records: Sequence[OutgoingRecord]) -> None:
        if self.writes_left is not None:
            if not self.writes_left:
                raise Killed
            self.writes_left -= 1
        if self._cluster.away:
            raise Unavailable("Kafka is away")
        self._cluster.append([each for each in records if not self._cluster.hangs(each)])
        if any(self._cluster.hangs(each) for each in records):
            await self._cluster.refused.wait()
            raise Unavailable("Kafka has not acknowledged within 5 s")

    def kafka_time(self) -> int | None:
        return self.known_time

    def clock_ahead(self) -> int | None:
        return 0

    def unready(self) -> str | None:
        return None


class MemoryIntake:
    """One intake process. Its own clock may differ from the cluster's."""

    def __init__(self, cluster: Cluster, mapping: str = MAPPING, skew_s: float = 0.0) -> None:
        self.publisher = MemoryPublisher(cluster)
        self.metrics = IntakeMetrics()
        self._cluster = cluster
        self._reader: MemoryReader | None = None
        self.heartbeats = Heartbeats(
            lambda: MemoryReader(cluster), self.publisher, self.metrics, lambda: cluster.now / SECOND + skew_s
        )
        self.heartbeats.use(sources_of(mapping))

    async def turn(self) -> None:
        """One turn of its loop, which goes on with what it has read when nothing can be written."""
        if self._reader is None:
            self._reader = MemoryReader(self._cluster)
            await self.heartbeats.begin(self._reader)
        with suppress(Unavailable):
            await self.heartbeats.turn(self._reader)

    async def forget(self, name: str) -> None:
        """Watch a monitor no longer."""
        with suppress(Unavailable):
            await self.heartbeats.forget(MonitorId("jobs", name))

    async def beat(self, name: str) -> bool:
        """A heartbeat; whether it was acknowledged."""
        try:
            await self.heartbeats.beat(MonitorId("jobs", name))
        except Unavailable:
            return False
        return True


def expected_silences(
    cluster_rows: Sequence[LogRow], sources: dict[str, Source]
) -> set[tuple[str, int, int, int | None]]:
    """Monitor, last heartbeat, beginning and end of each silence, from the complete rows of a partition: second by
    second what was heard, without heaps, watermarks or state."""
    times, found = [row.at for row in cluster_rows], set()
    beats: dict[str, list[tuple[int, bool]]] = {}
    for row in cluster_rows:
        if row.key is not None and row.key.startswith(b"beat/"):
            decoded = decode_row(row.key, row.value)
            assert decoded is not None
            beats.setdefault(decoded[0].monitor.name, []).append((row.at, row.value is not None))  # type: ignore[union-attr]
    for name, instants in beats.items():
        rule = sources["jobs"].monitors.rule_for(name)
        assert rule is not None
        for (last, watched), following in zip(instants, [*(at for at, _ in instants[1:]), None], strict=True):
            if not watched:
                continue
            began = _silence_begins(last, rule.every + rule.grace, rule.grace, times)
            if began is not None and began < (times[-1] if following is None else following):
                found.add((name, last, began, following))
    return found


def _silence_begins(last: int, needed: int, grace: int, times: Sequence[int]) -> int | None:
    heard, away = 0, 0
    for start, end in itertools.pairwise(times):
        if end <= last:
            continue
        if end - start <= SHORTEST_GAP:
            if heard + end - start > needed:
                return start + needed - heard
            heard += end - start
        else:
            away += end - start
            if away > grace:
                heard = away = 0
    return None
