"""A transactional log, a feed and a clock in memory, for tasks under test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from streams.runtime.errors import TaskFenced, TaskInterrupted
from streams.runtime.interfaces import Batch, Bounds, Write
from streams.runtime.processor import Send
from streams.runtime.task import StreamTask


@dataclass(frozen=True)
class Raw:
    """A record as the consumer hands it over."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


class ManualClock:
    """Stands still until told."""

    def __init__(self, now: int = 0) -> None:
        self._now = now
        self._moved = asyncio.Event()

    def now(self) -> int:
        return self._now

    def set(self, now: int) -> None:
        self._now = now
        self._moved.set()
        self._moved = asyncio.Event()

    async def wait(self, event: asyncio.Event, until: int | None) -> None:
        if event.is_set() or (until is not None and self._now >= until):
            await asyncio.sleep(0)
            return
        waits = [asyncio.ensure_future(event.wait()), asyncio.ensure_future(self._moved.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()


@dataclass
class MemoryLog:
    """One partition of some input topics, a changelog and an output, with the promises of a real broker."""

    topics: tuple[str, ...] = ("in",)
    inputs: dict[str, list[Raw]] = field(default_factory=dict)
    ends_at: dict[str, int] = field(default_factory=dict)
    starts_at: dict[str, int] = field(default_factory=dict)
    group: dict[str, int] = field(default_factory=dict)
    changelog: list[tuple[bytes, bytes | None]] = field(default_factory=list)
    outputs: list[Send] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    epoch: int = 0
    commits: int = 0
    sizes: list[int] = field(default_factory=list)
    stamps: list[int] = field(default_factory=list)
    """The timestamps of all records of each commit."""
    replay_gate: asyncio.Event | None = None
    ends_gate: asyncio.Event | None = None
    commit_gate: asyncio.Event | None = None
    topic_id: dict[str, bytes] = field(default_factory=dict)
    faults: list[tuple[str, Callable[[], Exception]]] = field(default_factory=list)
    """Each commit takes one: ("before" or "after" it is written, what to raise)."""

    def append(self, topic: str, timestamp_ms: int, value: str, *, key: str = "k", skip: int = 0) -> None:
        offset = self.end(topic) + skip
        self.inputs.setdefault(topic, []).append(Raw(offset, timestamp_ms, key.encode(), value.encode()))
        self.ends_at[topic] = offset + 1

    def end(self, topic: str) -> int:
        return self.ends_at.get(topic, self.starts_at.get(topic, 0))

    async def fence(self) -> MemoryTransactions:
        self.calls.append("fence")
        self.epoch += 1
        return MemoryTransactions(self, self.epoch)

    async def replay(self) -> AsyncIterator[Sequence[tuple[bytes, bytes | None]]]:
        self.calls.append("replay")
        if self.replay_gate is not None:
            await self.replay_gate.wait()
        for row in list(self.changelog):
            yield [row]

    async def committed(self) -> Mapping[str, int]:
        self.calls.append("committed")
        return dict(self.group)

    async def bounds(self) -> Mapping[str, Bounds]:
        self.calls.append("bounds")
        return {topic: Bounds(self.starts_at.get(topic, 0), self.end(topic)) for topic in self.topics}

    async def topic_ids(self) -> Mapping[str, bytes]:
        self.calls.append("topic_ids")
        return dict(self.topic_id)

    async def ends(self) -> Mapping[str, int]:
        self.calls.append("ends")
        found = {topic: self.end(topic) for topic in self.topics}
        if self.ends_gate is not None:
            await self.ends_gate.wait()
        return found

    def values(self) -> list[str]:
        return [(send.value or b"").decode() for send in self.outputs]


@dataclass
class MemoryTransactions:
    """What one owner may write with."""

    log: MemoryLog
    epoch: int
    used_up: bool = False

    async def commit(self, write: Write) -> None:
        log = self.log
        assert not self.used_up, "a producer was used after an error"
        await asyncio.sleep(0)
        if log.commit_gate is not None:
            await log.commit_gate.wait()
        if self.epoch != log.epoch:
            self.used_up = True
            raise TaskFenced("a newer epoch")
        when, fault = log.faults.pop(0) if log.faults else ("", None)
        if when == "before" and fault is not None:
            self.used_up = True
            raise fault()
        log.commits += 1
        log.sizes.append(len(write.effects.sends))
        log.stamps.append(write.timestamp_ms)
        log.outputs += write.effects.sends
        log.changelog += [*write.effects.rows.items(), (b"@applied", write.checkpoint)]
        log.group.update(write.offsets)
        if when == "after" and fault is not None:
            self.used_up = True
            raise fault()

    async def put_row(self, key: bytes, value: bytes) -> None:
        await asyncio.sleep(0)
        if self.epoch != self.log.epoch:
            self.used_up = True
            raise TaskFenced("a newer epoch")
        self.log.changelog.append((key, value))

    async def discard(self) -> None:
        self.used_up = True


class MemoryFeed:
    """Delivers from the log what the task asks for; `live` off, it only notes what was asked."""

    def __init__(self, log: MemoryLog, *, live: bool = True, size: int = 1_000) -> None:
        self.log = log
        self.live = live
        self.size = size
        self.rewinds: list[dict[str, int | None]] = []
        self.task: StreamTask | None = None
        self._at: dict[str, int] = {}

    async def rewind(self, topics: Iterable[str], partition: int) -> None:
        assert self.task is not None
        self.rewinds.append({topic: self.task.wants(topic) for topic in topics})
        for topic in topics:
            wanted = self.task.wants(topic)
            if wanted is not None:
                self._at[topic] = wanted
        if self.live:
            self.deliver()

    def flow(self, topics: Iterable[str], partition: int) -> None:
        if self.live:
            self.deliver()

    def deliver(self, topic: str | None = None) -> None:
        """Hand over what was appended since, while the task accepts it."""
        assert self.task is not None
        for each in [topic] if topic else self.log.topics:
            while self.task.accepts(each) and self._at.get(each, self.log.end(each)) < self.log.end(each):
                start = self._at[each]
                records = [raw for raw in self.log.inputs[each] if raw.offset >= start][: self.size]
                rest = [raw for raw in self.log.inputs[each] if raw.offset > records[-1].offset] if records else []
                end = records[-1].offset + 1 if rest else self.log.end(each)
                self._at[each] = end
                self.task.offer(Batch(each, 0, start, end, records))


def broker_away() -> Exception:
    return TaskInterrupted("the broker went away")
