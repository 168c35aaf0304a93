"""Reads the records of a fetch one batch at a time.

aiokafka iterates over records in Python and builds an object of eleven fields for each, which is a tenth of the cost of
the small job (bench/small_cost.py). Which batches count (aborted transactions, markers, offsets below the position)
stays aiokafka's decision.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from aiokafka.consumer.fetcher import Fetcher, FetchResult
from aiokafka.structs import TopicPartition

from streams.kafka.records import RawRecord


class Chunk(NamedTuple):
    """The records of a batch, passed through aiokafka's reader as if they were one."""

    offset: int
    """The last one's."""
    records: list[RawRecord]

    def since(self, offset: int) -> list[RawRecord]:
        """Those from an offset on."""
        if self.records[0].offset >= offset:
            return self.records
        return [record for record in self.records if record.offset >= offset]


class _Batch:
    """A batch whose one item is the chunk of its records."""

    def __init__(self, batch: Any) -> None:
        self._batch = batch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __iter__(self) -> Iterator[Chunk]:
        records = list(self._batch)
        if records:
            yield Chunk(records[-1].offset, records)

    def __next__(self) -> Any:  # of a marker, its one record is asked for so
        return next(self._batch)


class FetchedBatch:
    """The batches of a fetch, each as one chunk."""

    def __init__(self, batches: Any) -> None:
        self._batches = batches
        self.has_next = batches.has_next

    def next_batch(self) -> _Batch:
        return _Batch(self._batches.next_batch())


async def fetched(fetcher: Fetcher, partition: TopicPartition) -> list[RawRecord]:
    """What has been fetched of a partition, without waiting or giving way to other tasks; its position moves past it.

    Needs the patch `header_names`. Raises what aiokafka does, about this partition alone.
    """
    result = fetcher._records.get(partition)
    if type(result) is FetchResult:
        result._partition_records.whole = True
    chunks = (await fetcher.fetched_records(frozenset((partition,)), timeout=0)).get(partition, ())
    return [record for chunk in chunks for record in chunk]
