"""Watching a run from outside, the same way for everybody: what is committed, and what has become visible."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from time import perf_counter

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError, GroupLoadInProgressError, NotCoordinatorForGroupError

from bench.peers.timeline import RunFailed, Sample
from bench.throughput import reader

_EVERY_S = 0.05
_MORE = 4  # looks after the last commit: its markers reach the offsets topic and the output at different moments
_SETTLE_S = 5.0


async def watch(
    bootstrap: str,
    group: str,
    source: str,
    ends: Sequence[int],
    output: str | None,
    problem: Callable[[], str | None],
    limit_s: float,
) -> list[Sample]:
    """Looks at the broker every 50 ms until the group's committed offsets cover the input.

    `problem` says why there is no point in waiting any longer. Raises RunFailed for that, or after `limit_s`.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, isolation_level="read_committed", group_id=None)
    outputs = [TopicPartition(output, number) for number in range(len(ends))] if output is not None else []
    samples: list[Sample] = []
    started, covered = perf_counter(), 0
    await admin.start()
    await consumer.start()
    try:
        while True:
            committed = await _committed(admin, group, source, len(ends))
            stable = await consumer.end_offsets(outputs) if outputs else {}
            at = perf_counter()
            samples.append(Sample(at, sum(committed), tuple(stable[each] for each in outputs)))
            if all(offset >= end for offset, end in zip(committed, ends, strict=True)):
                covered += 1
                if covered > _MORE:
                    return samples
            if why := problem():
                raise RunFailed(why)
            if at - started > limit_s:
                raise RunFailed(f"not done after {limit_s:.0f} s: {sum(committed):,} of {sum(ends):,} events committed")
            await asyncio.sleep(max(0.0, _EVERY_S - (perf_counter() - at)))
    finally:
        await consumer.stop()
        await admin.close()


async def _committed(admin: AIOKafkaAdminClient, group: str, source: str, partitions: int) -> list[int]:
    try:
        found = await admin.list_consumer_group_offsets(group)
    except (GroupCoordinatorNotAvailableError, GroupLoadInProgressError, NotCoordinatorForGroupError):
        return [0] * partitions  # the broker makes its offsets topic when the first group asks for it
    offsets = [found.get(TopicPartition(source, number)) for number in range(partitions)]
    return [0 if each is None else max(0, each.offset) for each in offsets]


class Outputs:
    """What a read_committed reader found: offsets and a digest of the values, by partition."""

    def __init__(self, partitions: int) -> None:
        self.offsets: list[list[int]] = [[] for _ in range(partitions)]
        self._digests = [hashlib.sha256() for _ in range(partitions)]

    def add(self, partition: int, value: bytes, offset: int = 0) -> None:
        """The next value of a partition."""
        self.offsets[partition].append(offset)
        self._digests[partition].update(value)

    @property
    def count(self) -> int:
        return sum(map(len, self.offsets))

    def check(self, expected: Outputs) -> None:
        """Raises RunFailed unless both hold the same values in the same order."""
        if self.count != expected.count:
            difference = self.count - expected.count
            what = "too many" if difference > 0 else "missing"
            raise RunFailed(f"{abs(difference):,} outputs {what} of {expected.count:,} for a read_committed reader")
        if [each.digest() for each in self._digests] != [each.digest() for each in expected._digests]:
            raise RunFailed("the outputs are not those of the job")


async def read_outputs(bootstrap: str, topic: str, partitions: int) -> Outputs:
    """Everything that a read_committed reader can see of a topic. Raises RunFailed when its end is never reached."""
    found = Outputs(partitions)
    async with reader(bootstrap) as consumer:
        assigned = [TopicPartition(topic, number) for number in range(partitions)]
        consumer.assign(assigned)
        ends = await consumer.end_offsets(assigned)
        moved = perf_counter()
        while any([await consumer.position(each) < ends[each] for each in assigned]):
            batches = await consumer.getmany(timeout_ms=200, max_records=10_000)
            for where, records in batches.items():
                for record in records:
                    found.add(where.partition, record.value, record.offset)
            if batches:
                moved = perf_counter()
            elif perf_counter() - moved > _SETTLE_S:
                raise RunFailed(f"{topic} can't be read to its end")
    return found
