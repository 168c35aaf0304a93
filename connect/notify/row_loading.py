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

from connect.notify.page_store_rows import StoredPages, prefix_of, read_key
from connect.notify.routing.recorded import is_recorded
from connect.notify.row_claims import RowClaims, owner_in
from streams.errors import SlaError

_POLL_MS = 200
#: Without a row for so long the connection that reads for all gives up: two requests time out in that time.
STALLED_S = 20.0
#: Rows that are read without a pause for other tasks of the loop.
_ROWS_AT_ONCE = 200

OnRow = Callable[[int, bytes | None, bytes | None], None]
Wants = Callable[[str], bool]

_NONE = RowClaims()


class _Load:
    """What one destination waits for."""

    def __init__(
        self,
        partitions: Sequence[int],
        destination: str,
        on_row: OnRow,
        wants: Wants,
        claims: Mapping[int, RowClaims],
    ) -> None:
        self.partitions = partitions
        self.destination = destination
        self.wants = wants
        self._on_row = on_row
        self._claims = claims
        self._own = prefix_of(destination)
        self.pages = dict[int, StoredPages]()
        self.found: Mapping[int, tuple[StoredPages, int]] | None = None
        self.failure: str | None = None

    def begins(self) -> None:
        self.pages = {each: StoredPages(self.destination) for each in self.partitions}

    def take(self, partition: int, record: Any) -> None:
        pages, owner = self.pages[partition], None
        if self._is_own(record):
            if not self._counts(partition, record):
                pages.stale[record.key] = None
                return
            pages.stale.pop(record.key, None)
            owner = owner_in(record.headers)
        pages.read(record.key, record.value, owner)
        self._on_row(partition, record.key, record.value)

    def take_again(self, partition: int, record: Any) -> None:
        """What counts of the keys whose last row doesn't."""
        stale = self.pages[partition].stale
        if record.key in stale and self._counts(partition, record):
            stale[record.key] = record.value

    def _is_own(self, record: Any) -> bool:
        return record.key is not None and record.key.startswith(self._own)

    def _counts(self, partition: int, record: Any) -> bool:
        return self._claims.get(partition, _NONE).counts(record.offset, record.headers)


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
        self,
        consumer: Any,
        topic: str,
        partitions: Sequence[int],
        destination: str,
        on_row: OnRow,
        wants: Wants,
        claims: Mapping[int, RowClaims],
    ) -> Mapping[int, tuple[StoredPages, int]]:
        """The pages of a destination by partition, with the offset up to which rows were read. `on_row` is called with
        the partition, key and value of its rows, as far as they count by the `claims`, and of those of other
        destinations that it `wants`."""
        load = _Load(partitions, destination, on_row, wants, claims)
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
    by_partition = defaultdict[int, list[_Load]](list)
    for load in loads:
        load.begins()
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

    def take(partition: int, record: Any) -> None:
        for load in () if is_recorded(record.key) else of(partition, record.key):
            load.take(partition, record)

    places = [TopicPartition(topic, each) for each in by_partition]
    consumer.assign(places)
    try:
        ends = await _read_all(consumer, topic, places, take)
        late = {partition: behind for partition, found in by_partition.items()
                if (behind := [each for each in found if each.pages[partition].stale])}  # fmt: skip

        def take_again(partition: int, record: Any) -> None:
            for load in late[partition]:
                load.take_again(partition, record)

        if late:
            await _read_all(consumer, topic, [each for each in places if each.partition in late], take_again, ends)
    finally:
        consumer.unsubscribe()
    for load in loads:
        load.found = {each: (found, ends[TopicPartition(topic, each)]) for each, found in load.pages.items()}


async def _read_all(
    consumer: Any,
    topic: str,
    places: Sequence[TopicPartition],
    take: Callable[[int, Any], None],
    known_ends: Mapping[TopicPartition, int] | None = None,
) -> Mapping[TopicPartition, int]:
    """Read partitions from their beginnings to their ends of now, or to those `known_ends`. Returns the ends."""
    ends, at = dict(known_ends or {}), dict[TopicPartition, int]()

    def stalled() -> str:
        behind = [f"{where.partition} at {at.get(where, 0)} of {end}" for where, end in sorted(ends.items())
                  if where in places and at.get(where, 0) < end]  # fmt: skip
        more = f" (partition {behind[0]})" if behind else ""
        return f" while they were read back{more}"

    async with until_stalled(topic, stalled) as arrived:
        if known_ends is None:
            ends = await consumer.end_offsets(list(places))
        await consumer.seek_to_beginning(*places)
        left = set(places)
        while left:
            for where, records in (await consumer.getmany(timeout_ms=_POLL_MS)).items():
                for number, record in enumerate(records, 1):
                    if where in left and record.offset < ends[where]:
                        take(where.partition, record)
                    if number % _ROWS_AT_ONCE == 0:
                        arrived()  # of many destinations, what is there at once takes long to look at
                        await asyncio.sleep(0)
            for where in sorted(left):
                position = await consumer.position(where)
                if position != at.get(where):
                    at[where] = position
                    arrived()
                if position >= ends[where]:
                    left.discard(where)
    return ends
