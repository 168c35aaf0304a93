"""The rows of one destination: read back when its partitions are assigned, and from the feed afterwards."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from aiokafka.structs import TopicPartition

from connect.notify.page_store import PageStore
from connect.notify.page_store_rows import StateRow, StoredPages
from connect.notify.row_feed import FedRows, RowFeed
from connect.notify.row_loading import OnRow, Wants
from streams.errors import SlaError

_LATE = "a notifier that had partitions of this destination before wrote a row late: rows are read and repaired"


class DestinationRows:
    """Of one membership in its group. Without a `feed` the member reads rows as it reads alerts. `on_row` and `wants`
    are those of `PageStore.stored_pages`."""

    def __init__(self, destination: str, kafka: PageStore, on_row: OnRow, wants: Wants, feed: RowFeed | None) -> None:
        self._destination = destination
        self._kafka = kafka
        self._on_row = on_row
        self._wants = wants
        self._feed = feed
        self._fed: FedRows | None = None
        self._log = structlog.get_logger("connect.notify").bind(destination=destination)
        self._since: dict[int, int] = {}
        """By partition the offset up to which rows were read back."""
        self._claimed: Mapping[int, int] = {}
        """By partition the offset from which on rows of this owner count, and no others."""

    @property
    def fed(self) -> bool:
        """Whether rows come from the feed."""
        return self._feed is not None

    @property
    def overrun(self) -> bool:
        """Whether more rows were written than are kept, while none were taken: they are to be read back."""
        return self._fed is not None and self._fed.overrun

    @property
    def partitions(self) -> Sequence[int]:
        """Those that were read back."""
        return sorted(self._since)

    async def load(self, partitions: Sequence[int]) -> Mapping[int, tuple[StoredPages, int]]:
        """As `PageStore.stored_pages`. From there on what is written is this owner's: the feed keeps it, and what came
        late before is repaired, since compaction would keep it and delete what counts. Raises SlaError, KafkaError."""
        stored = await self._read(partitions)
        late = {partition: found.stale for partition, (found, _) in stored.items() if found.stale}
        self._claimed = await self._kafka.member.claim(self._since, late)
        for partition, stale in late.items():
            await self._kafka.write(partition, [StateRow(key, value) for key, value in stale.items()])
            self._log.warning("late_rows_repaired", partition=partition, count=len(stale))
        await self._kafka.member.repairs_written()
        return stored

    async def read_again(self) -> Mapping[int, tuple[StoredPages, int]]:
        """The partitions that are loaded. Raises SlaError, KafkaError."""
        stored = await self._read(self.partitions)
        if any(found.stale for found, _ in stored.values()):
            raise SlaError(_LATE)
        return stored

    async def _read(self, partitions: Sequence[int]) -> Mapping[int, tuple[StoredPages, int]]:
        self._close_feed()
        if self._feed is not None:
            self._fed = await self._feed.open(self._destination, self._wants, self._kafka.member.owner)
        stored = await self._kafka.stored_pages(partitions, self._destination, self._on_row, self._wants)
        self._since = {partition: end for partition, (_, end) in stored.items()}
        return stored

    def take(self, most_requests: int) -> Mapping[TopicPartition, Sequence[Any]]:
        """Rows that were written since, with so many requests to retry at most. Raises SlaError where an owner before
        wrote one."""
        late = {} if self._fed is None else self._fed.of_others
        if any(offset >= self._claimed.get(partition, math.inf) for partition, offset in late.items()):
            raise SlaError(_LATE)
        found = defaultdict[TopicPartition, list[Any]](list)
        for record in () if self._fed is None else self._fed.take(most_requests):
            if record.offset >= self._since.get(record.partition, math.inf):
                found[TopicPartition(record.topic, record.partition)].append(record)
        return found

    def close(self) -> None:
        """Keep nothing more."""
        self._close_feed()
        self._since = {}
        self._claimed = {}

    def _close_feed(self) -> None:
        if self._feed is not None and self._fed is not None:
            self._feed.close(self._fed)
        self._fed = None
