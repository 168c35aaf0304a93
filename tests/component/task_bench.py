"""A task with everything around it in memory, and a processor that writes a diary."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from memory_log import ManualClock, MemoryFeed, MemoryLog

from streams.runtime.checkpoint import CHECKPOINT_KEY, Checkpoint, decode_checkpoint
from streams.runtime.ownership import PrefixOwner
from streams.runtime.processor import Effects, Record, Send
from streams.runtime.run_loop import AT_ONCE, CommitInterval
from streams.runtime.task import StreamTask
from streams.runtime.transaction_builder import TransactionLimits
from tests.waiting import TIMEOUT_S

MS = 1_000


class Diary:
    """Writes down what happens to it. `timer:<ms>` sets a timer; `poison` raises; `for others` has no effect."""

    faulty_timers = False

    def __init__(self, partition: int) -> None:
        self.seen = 0
        self.due: list[int] = []

    def restore(self, key: bytes, value: bytes) -> None:
        if key == b"seen":
            self.seen = int(value)
        else:
            self.due.append(int(key))

    def restored(self) -> None:
        self.due.sort()

    def apply(self, record: Record, effects: Effects) -> None:
        value = (record.value or b"").decode()
        if value == "for others":
            return
        self.seen += 1
        if value == "poison":
            raise ValueError("poisoned")
        if value.startswith("timer:"):
            due = int(value.removeprefix("timer:")) * MS
            self.due.append(due)
            self.due.sort()
            effects.put(b"%d" % due, b"due")
        self._write(f"{self.seen} {value} @{record.arrival // MS}", effects)

    def reject(self, record: Record, code: str, message: str, effects: Effects, attempts: int = 1) -> None:
        self._write(f"rejected {code} {record.topic}@{record.offset} after {attempts}: {message}", effects)

    def quarantine(self, subject: str, message: str, effects: Effects, attempts: int) -> None:
        self.due.remove(int(subject))
        effects.put(subject.encode(), None)
        self._write(f"quarantined {subject} after {attempts}: {message}", effects)

    def next_due(self) -> int | None:
        return self.due[0] if self.due else None

    def fire(self, before: int, limit: int, effects: Effects) -> int:
        if self.faulty_timers:
            raise ValueError("faulty")
        fired = 0
        while self.due and self.due[0] < before and fired < limit:
            due = self.due.pop(0)
            effects.put(b"%d" % due, None)
            self._write(f"due {due // MS}", effects)
            fired += 1
        return fired

    def _write(self, text: str, effects: Effects) -> None:
        effects.put(b"seen", b"%d" % self.seen)
        effects.send(Send("out", 0, b"k", text.encode(), []))


@dataclass
class Bench:
    """A task with everything around it."""

    log: MemoryLog = field(default_factory=MemoryLog)
    clock: ManualClock = field(default_factory=ManualClock)
    records: int = 1_000
    timers: int = 1_000
    seconds: float = 1_000.0
    bytes: int = 1_000_000
    bound: int = 1_000
    commit_interval: CommitInterval = AT_ONCE
    skew_us: int = 0
    app_id: str | None = None
    prefix_owner: PrefixOwner | None = None
    live: bool = True
    make: Callable[[int], Diary] = Diary
    stopwatch: Callable[[], float] = field(default=lambda: 0.0)
    feed: MemoryFeed = field(init=False)
    task: StreamTask = field(init=False)

    def start(self) -> StreamTask:
        self.feed = MemoryFeed(self.log, live=self.live)
        self.task = self.feed.task = StreamTask(
            "diary",
            0,
            self.log.topics,
            self.make,
            log=self.log,
            feed=self.feed,
            clock=self.clock,
            limits=TransactionLimits(records=self.records, timers=self.timers, seconds=self.seconds, bytes=self.bytes),
            commit_interval=self.commit_interval,
            max_clock_skew_us=self.skew_us,
            queue_records=self.bound,
            app_id=self.app_id,
            prefix_owner=self.prefix_owner,
            stopwatch=self.stopwatch,
        )
        self.task.start()
        return self.task

    async def settle(self, turns: int = 200) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)

    async def add(self, timestamp_ms: int, value: str, topic: str = "in") -> None:
        self.log.append(topic, timestamp_ms, value)
        self.feed.deliver()
        await self.settle()

    async def tick(self, ms: int) -> None:
        self.clock.set(ms * MS)
        await self.settle()


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def within_time() -> None:
        async with asyncio.timeout(TIMEOUT_S):
            await scenario()

    asyncio.run(within_time())


def last_applied(log: MemoryLog) -> Checkpoint:
    return decode_checkpoint([value for key, value in log.changelog if key == CHECKPOINT_KEY and value is not None][-1])
