"""What is taken of aiokafka's fetcher: positions move past what is handed over, whatever one partition meets."""

from __future__ import annotations

import asyncio
import contextlib
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.consumer import fetcher as base
from aiokafka.errors import CorruptRecordException, OffsetOutOfRangeError
from aiokafka.structs import TopicPartition
from test_header_names import batch

from streams.kafka.batch_reader import FetcherReader
from streams.kafka.patches import AIOKAFKA

ONE, TWO = TopicPartition("t", 1), TopicPartition("t", 2)


class State:
    """Where a partition is read."""

    has_valid_position = True
    paused = False

    def __init__(self) -> None:
        self.position = 0

    def consumed_to(self, position: int) -> None:
        self.position = position


class Fetcher(base.Fetcher):  # type: ignore[misc]
    """aiokafka's, without a client: what has been fetched is put there."""

    def __init__(self) -> None:
        assert AIOKAFKA.applied("header_names")
        self.states = {ONE: State(), TWO: State()}
        self._assignment = SimpleNamespace(tps=set(self.states), active=True, state_value=self.states.__getitem__)
        self._subscriptions = SimpleNamespace(
            subscription=SimpleNamespace(assignment=self._assignment),
            reassignment_in_progress=False,
            fetch_context=contextlib.nullcontext,
            is_assigned=lambda _: True,
        )
        self._records: dict[TopicPartition, Any] = {}
        self._closed = False
        self._wait_consume_future = None
        self._fetch_waiters: set[Any] = set()
        self._loop = asyncio.get_running_loop()

    def has(self, tp: TopicPartition, fetched: bytes) -> None:
        read = base.PartitionRecords(
            *(tp, base.MemoryRecords(fetched), [], self.states[tp].position, None, None, True, base.READ_COMMITTED)
        )
        self._records[tp] = base.FetchResult(tp, assignment=self._assignment, partition_records=read, backoff=0.1)

    def met(self, tp: TopicPartition, error: Exception) -> None:
        self._records[tp] = base.FetchError(error=error, backoff=0.1)


def damaged(fetched: bytes) -> bytes:
    return fetched[:-1] + bytes([fetched[-1] ^ 1])


@pytest.mark.parametrize("order", [(ONE, TWO), (TWO, ONE)])
def test_a_damaged_partition_takes_nothing_from_another(order: tuple[TopicPartition, ...]) -> None:
    async def take() -> None:
        fetcher = Fetcher()
        for tp in order:
            fetcher.has(tp, batch(0, ["a", "b"]) if tp is ONE else damaged(batch(0, ["c"])))
        reader = FetcherReader(fetcher)
        (taken,) = await reader.take(frozenset(order), 0.0)
        assert (taken.topic, taken.partition, taken.start, taken.end) == ("t", 1, 0, 2)
        assert [record.value for record in taken.records] == [b"0", b"1"]
        assert fetcher.states[TWO].position == 0
        fetcher.has(ONE, batch(2, ["d"]))
        with pytest.raises(CorruptRecordException):
            await reader.take(frozenset(order), 0.0)
        assert [each.start for each in await reader.take(frozenset(order), 0.0)] == [2]

    asyncio.run(take())


def test_an_error_is_not_forgotten_while_others_have_records() -> None:
    async def take() -> None:
        fetcher = Fetcher()
        fetcher.met(TWO, OffsetOutOfRangeError({TWO: 0}))
        fetcher.has(ONE, batch(0, ["a"]))
        reader = FetcherReader(fetcher)
        assert len(await reader.take(frozenset((ONE, TWO)), 0.0)) == 1
        with pytest.raises(OffsetOutOfRangeError):
            await reader.take(frozenset((ONE, TWO)), 0.0)

    asyncio.run(take())


def test_only_what_is_wanted_is_taken() -> None:
    async def take() -> None:
        fetcher = Fetcher()
        fetcher.has(ONE, batch(0, ["a"]))
        reader = FetcherReader(fetcher)
        assert await reader.take(frozenset((TWO,)), 0.0) == []
        assert fetcher.states[ONE].position == 0
        assert len(await reader.take(frozenset((ONE,)), 0.0)) == 1

    asyncio.run(take())
