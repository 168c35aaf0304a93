"""Reads the rows of destinations back: one pass over the topic serves every destination that waits for its own.

Each destination would read the rows of all to find its own, so that a start, or a group that its members lost under
load, would cost destinations × rows.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka.structs import TopicPartition

from connect.notify.page_store_rows import StoredPages, read_key
from connect.notify.routing.recorded import is_recorded
from streams.errors import SlaError

_POLL_MS = 200
#: Without a row for so long the connection that reads for all gives up: two requests time out in that time.
STALLED_S = 20.0
#: Rows that are read without a pause for other tasks of the loop.
_ROWS_AT_ONCE = 200

OnRow = Callable[[int, bytes | None, bytes | None], None]
Wants = Callable[[str], bool]


class _Load:
    """What one destination waits for."""

    def __init__(self, partitions: Sequence[int], destination: str, on_row: OnRow, wants: Wants) -> None:
        self.partitions = partitions
        self.destination = destination
        self.on_row = on_row
        self.wants = wants
        self.found: Mapping[int, tuple[StoredPages, int]] | None = None
        self.failure: str | None = None


class RowsStalled(SlaError):  # noqa: N818 -- it names what happened
    """No row arrived for long, though there are some."""


@asynccontextmanager
async def until_stalled(place: str, why: Callable[[], str]) -> AsyncIterator[Callable[[], None]]:
    """A block that reads rows of a place; it calls what it gets when some have arrived. Raises RowsStalled where none
    have for STALLED_S; `why` ends its text."""
    try:
        async with asyncio.timeout(STALLED_S) as limit:
            yield lambda: limit.reschedule(asyncio.get_running_loop().time() + STALLED_S)
    except TimeoutError:
        raise RowsStalled(f"Kafka gave no rows of {place} for {STALLED_S:g} s{why()}") from None


class RowLoading:
    """Of all destinations of a process. One of those that wait reads for all of them, over its own connection. Where no
    row arrives for long the next one reads; where none arrives there either, all are told, and connect anew: otherwise
    the last one would wait for as many times as there are destinations."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._waiting: list[_Load] = []
        self._stalled = False
        """Whether the last reading was."""

    async def read(
        self, consumer: Any, topic: str, partitions: Sequence[int], destination: str, on_row: OnRow, wants: Wants
    ) -> Mapping[int, tuple[StoredPages, int]]:
        """The pages of a destination by partition, with the offset up to which rows were read. `on_row` is called with
        the partition, key and value of its rows, and of those of other destinations that it `wants`."""
        load = _Load(partitions, destination, on_row, wants)
        self._waiting.append(load)
        try:
            async with self._turn:
                if load.failure is not None:
                    raise RowsStalled(load.failure)
                if load.found is None:
                    await self._read_for_all(consumer, topic)
        finally:
            self._waiting.remove(load)
        assert load.found is not None
        return load.found

    async def _read_for_all(self, consumer: Any, topic: str) -> None:
        try:
            await _read_for(list(self._waiting), consumer, topic)
        except RowsStalled as error:
            if self._stalled:
                for each in self._waiting:
                    each.failure = str(error)
            self._stalled = not self._stalled
            raise
        self._stalled = False


async def _read_for(loads: Sequence[_Load], consumer: Any, topic: str) -> None:
    """Raises the errors of the client: then nobody has got anything, and the next one that waits reads."""
    pages = {id(load): {each: StoredPages(load.destination) for each in load.partitions} for load in loads}
    by_partition = defaultdict[int, list[_Load]](list)
    for load in loads:
        for partition in load.partitions:
            by_partition[partition].append(load)
    interested: dict[tuple[int, str], list[_Load]] = {}

    def of(partition: int, key: bytes | None) -> list[_Load]:
        """Who gets a row; one that can't be read is everybody's."""
        found = read_key(key)
        if found is None:
            return by_partition[partition]
        place = partition, found.destination
        if place not in interested:
            interested[place] = [
                each
                for each in by_partition[partition]
                if each.destination == found.destination or each.wants(found.destination)
            ]
        return interested[place]

    places = {partition: TopicPartition(topic, partition) for partition in by_partition}
    consumer.assign(list(places.values()))
    ends, at = dict[TopicPartition, int](), dict[TopicPartition, int]()

    def stalled() -> str:
        behind = [f"{where.partition} at {at.get(where, 0)} of {end}" for where, end in sorted(ends.items())
                  if at.get(where, 0) < end]  # fmt: skip
        more = f" (partition {behind[0]})" if behind else ""
        return f" while they were read back{more}"

    try:
        async with until_stalled(topic, stalled) as arrived:
            ends = await consumer.end_offsets(list(places.values()))
            await consumer.seek_to_beginning(*places.values())
            left = dict(places)
            while left:
                for where, records in (await consumer.getmany(timeout_ms=_POLL_MS)).items():
                    for number, record in enumerate(records, 1):
                        for load in () if is_recorded(record.key) else of(where.partition, record.key):
                            pages[id(load)][where.partition].read(record.key, record.value)
                            load.on_row(where.partition, record.key, record.value)
                        if number % _ROWS_AT_ONCE == 0:
                            arrived()  # of many destinations, what is there at once takes long to look at
                            await asyncio.sleep(0)
                for partition, where in list(left.items()):
                    position = await consumer.position(where)
                    if position != at.get(where):
                        at[where] = position
                        arrived()
                    if position >= ends[where]:
                        del left[partition]
    finally:
        consumer.unsubscribe()
    for load in loads:
        load.found = {each: (found, ends[places[each]]) for each, found in pages[id(load)].items()}
