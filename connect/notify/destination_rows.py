"""The rows of one destination: read back when its partitions are assigned, and from the feed afterwards."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from aiokafka.structs import TopicPartition

from connect.notify.page_store import PageStore
from connect.notify.page_store_rows import StoredPages
from connect.notify.row_feed import FedRows, RowFeed
from connect.notify.row_loading import OnRow, Wants


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
        self._since: dict[int, int] = {}
        """By partition the offset up to which rows were read back."""

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

    async def read_back(self, partitions: Sequence[int]) -> Mapping[int, tuple[StoredPages, int]]:
        """As `PageStore.stored_pages`. The feed keeps what is written meanwhile. Raises SlaError, KafkaError."""
        self.close()
        if self._feed is not None:
            self._fed = await self._feed.open(self._destination, self._wants)
        stored = await self._kafka.stored_pages(partitions, self._destination, self._on_row, self._wants)
        self._since = {partition: end for partition, (_, end) in stored.items()}
        return stored

    def take(self, most_requests: int) -> Mapping[TopicPartition, Sequence[Any]]:
        """Rows that were written since, with so many requests to retry at most."""
        found = defaultdict[TopicPartition, list[Any]](list)
        for record in () if self._fed is None else self._fed.take(most_requests):
            if record.offset >= self._since.get(record.partition, math.inf):
                found[TopicPartition(record.topic, record.partition)].append(record)
        return found

    def close(self) -> None:
        """Keep nothing more."""
        if self._feed is not None and self._fed is not None:
            self._feed.close(self._fed)
        self._fed = None
        self._since = {}
