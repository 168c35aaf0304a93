"""What the event loop of a worker adds to a commit: sixteen tasks in one process, without a broker.

    python -m bench.turns [--rates 1000 3000 5000] [--seconds 8]

Eight tasks of an agent that decides for 100 µs a record and eight of a background agent, as in the product. A commit is
`HOPS` round trips that each take `ITERATIONS_A_HOP` iterations of the event loop, and no time on the network. All times
are CPU time of this process, so other processes on the machine hardly count.
"""

from __future__ import annotations

import argparse
import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from functools import partial
from statistics import quantiles
from time import process_time
from typing import NamedTuple

from agents.worker import INCIDENTS_COMMIT_INTERVAL, LEDGER_COMMIT_INTERVAL
from streams.logs import configure_logs
from streams.runtime.interfaces import Batch, Bounds, Write
from streams.runtime.processor import Effects, Record, Send
from streams.runtime.scheduler import Scheduler
from streams.runtime.task import StreamTask
from streams.runtime.transaction_builder import TransactionLimits

HOPS, ITERATIONS_A_HOP = 4, 6
TASKS = 8
DECIDING_US, WAITING_US, COMMITTING_US = 100, 40, 1_000
TOPIC = "in"
_EPOCH_US = 1_000_000_000


def burn(microseconds: float) -> None:
    """Keep the processor busy."""
    end = process_time() + microseconds / 1e6
    while process_time() < end:
        pass


class ProcessorClock:
    """Time that passes while this process works."""

    def now(self) -> int:
        return _EPOCH_US + int(process_time() * 1e6)

    async def wait(self, event: asyncio.Event, until: int | None) -> None:
        while not event.is_set() and (until is None or self.now() < until):
            await asyncio.sleep(0)


class StampedRecord(NamedTuple):
    """A record whose value says when it came."""

    offset: int
    timestamp: int
    key: bytes
    value: bytes
    headers: Sequence[tuple[str, bytes]] = ()


class BusyProcessor:
    """Takes its time for each record and says one thing."""

    def __init__(self, cost_us: float, partition: int) -> None:
        self._cost_us = cost_us

    def restore(self, key: bytes, value: bytes) -> None:
        """Nothing is kept."""

    def restored(self) -> None:
        """Nothing is kept."""

    def apply(self, record: Record, effects: Effects) -> None:
        burn(self._cost_us)
        effects.send(Send("out", record.partition, record.key, record.value, []))

    def reject(self, record: Record, code: str, message: str, effects: Effects, attempts: int = 1) -> None:
        raise AssertionError(message)

    def quarantine(self, subject: str, message: str, effects: Effects, attempts: int) -> None:
        raise AssertionError(message)

    def next_due(self) -> int | None:
        return None

    def fire(self, before: int, limit: int, effects: Effects) -> int:
        return 0


class EmptyLog:
    """An empty log; notes how long commits took, and what was in them waited for their end. Seconds."""

    def __init__(self) -> None:
        self.commits: list[float] = []
        self.waited: list[float] = []

    async def fence(self) -> EmptyLog:
        return self

    async def replay(self) -> AsyncIterator[Sequence[tuple[bytes, bytes | None]]]:
        return
        yield []

    async def committed(self) -> Mapping[str, int]:
        return {}

    async def bounds(self) -> Mapping[str, Bounds]:
        return {TOPIC: Bounds(0, 0)}

    async def topic_ids(self) -> Mapping[str, bytes]:
        return {}

    async def ends(self) -> Mapping[str, int]:
        return {TOPIC: 0}

    async def commit(self, write: Write) -> None:
        began = process_time()
        burn(COMMITTING_US)
        for _ in range(HOPS * ITERATIONS_A_HOP):
            await asyncio.sleep(0)
        ended = process_time()
        self.commits.append(ended - began)
        self.waited += [ended - float(send.value or b"0") for send in write.effects.sends]

    async def put_row(self, key: bytes, value: bytes) -> None:
        """Nothing is kept."""

    async def discard(self) -> None:
        """Nothing to let go."""


class PushedFeed:
    """Records come by `offer`."""

    async def rewind(self, topics: Iterable[str], partition: int) -> None:
        """All is there."""

    def flow(self, topics: Iterable[str], partition: int) -> None:
        """There is always room."""


async def measure(rate: int, seconds: float) -> tuple[EmptyLog, int]:
    """What the tasks that decide did with so many records a second, of which a third goes to the others too."""
    clock, scheduler, watched, others = ProcessorClock(), Scheduler(), EmptyLog(), EmptyLog()
    background = scheduler.group()
    limits = TransactionLimits(records=4_000, timers=2_000, seconds=0.5)
    kinds = [
        (watched, DECIDING_US, INCIDENTS_COMMIT_INTERVAL, scheduler),
        (others, WAITING_US, LEDGER_COMMIT_INTERVAL, background),
    ]
    tasks = [
        StreamTask(
            *("bench", number, (TOPIC,), partial(BusyProcessor, cost)),
            log=log,
            feed=PushedFeed(),
            clock=clock,
            limits=limits,
            commit_interval=commit_interval,
            scheduler=mine,
        )
        for log, cost, commit_interval, mine in kinds
        for number in range(TASKS)
    ]
    for task in tasks:
        task.start()
    offsets = [0] * len(tasks)
    began, sent = process_time(), 0
    while (passed := process_time() - began) < seconds:
        came: defaultdict[int, list[StampedRecord]] = defaultdict(list)
        for number in range(sent, due := int(passed * rate)):
            for at in (number % TASKS, TASKS + number % TASKS)[: 2 if number % 3 == 0 else 1]:
                came[at].append(StampedRecord(offsets[at], clock.now() // 1_000, b"k", b"%.6f" % process_time()))
                offsets[at] += 1
        for at, records in came.items():
            tasks[at].offer(Batch(TOPIC, at % TASKS, records[0].offset, offsets[at], records))
        sent = due
        await asyncio.sleep(0)
    for task in tasks:
        await task.stop()
    return watched, sent


def main() -> None:
    """Measure each rate and print a line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rates", type=int, nargs="+", default=[1_000, 3_000, 5_000])
    parser.add_argument("--seconds", type=float, default=8.0)
    options = parser.parse_args()
    configure_logs(json=True, level="ERROR")
    for rate in options.rates:
        found, sent = asyncio.run(measure(rate, options.seconds))
        event, commit = _cuts(found.waited), _cuts(found.commits)
        print(
            f"{rate:,} records/s: from arrival to the end of the commit p50 {event[0]:.1f} p99 {event[1]:.1f} ms, "
            f"a commit p50 {commit[0]:.1f} p99 {commit[1]:.1f} ms; "
            f"{len(found.commits) / options.seconds:.0f} commits/s, {len(found.waited) / sent:.0%} done",
            flush=True,
        )


def _cuts(seconds: list[float]) -> tuple[float, float]:
    """Median and 99th percentile, in milliseconds."""
    cuts = quantiles(seconds, n=100)
    return cuts[49] * 1e3, cuts[98] * 1e3


if __name__ == "__main__":
    main()
