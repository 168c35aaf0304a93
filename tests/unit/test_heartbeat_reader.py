"""Heartbeats count by the broker's clock alone."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from aiokafka.errors import KafkaTimeoutError, TopicAuthorizationFailedError
from aiokafka.structs import ConsumerRecord, TopicPartition

from connect.intake.heartbeats import reader as heartbeat_reader
from connect.intake.heartbeats.reader import KafkaHeartbeatReader
from streams.errors import SlaError
from streams.settings import Settings

CREATE_TIME, APPEND_TIME = 0, 1
PARTITION = TopicPartition("sla.heartbeats", 0)


class Consumer:
    """Has two records in one partition, of which the first was there at the start."""

    def __init__(self, *types: int) -> None:
        self._types = types

    async def getmany(self, timeout_ms: int, max_records: int) -> Mapping[TopicPartition, Sequence[Any]]:
        record = ("sla.heartbeats", 0)
        return {
            PARTITION: [
                ConsumerRecord(*record, offset, 7_000 + offset, kind, b"beat/jobs/a", b"{}", None, 11, 2, ())
                for offset, kind in enumerate(self._types)
            ]
        }

    async def position(self, partition: TopicPartition) -> int:
        return len(self._types)


def reader(*types: int) -> KafkaHeartbeatReader:
    made = KafkaHeartbeatReader(Settings(), {})
    made._consumer, made._ends, made._positions = Consumer(*types), {PARTITION: 1}, {PARTITION: 0}
    return made


class LosesLeaders:
    """A client of a topic with two partitions, of which one has no leader."""

    def __init__(self) -> None:
        self.leader: dict[int, asyncio.Event] = {number: asyncio.Event() for number in range(2)}
        self.refuses = False
        self._at: dict[TopicPartition, int] = {}

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def assign(self, partitions: Sequence[TopicPartition]) -> None: ...

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self._at[partition] = offset

    async def end_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        if self.refuses:
            raise TopicAuthorizationFailedError
        try:
            async with asyncio.timeout(0.05):
                for each in partitions:
                    await self.leader[each.partition].wait()
        except TimeoutError:
            raise KafkaTimeoutError from None
        return dict.fromkeys(partitions, 0)

    async def getmany(self, timeout_ms: int, max_records: int) -> Mapping[TopicPartition, Sequence[Any]]:
        await asyncio.sleep(0)
        return {}

    async def position(self, partition: TopicPartition) -> int:
        return self._at[partition]


@pytest.fixture
def loses_leaders(monkeypatch: pytest.MonkeyPatch) -> LosesLeaders:
    client = LosesLeaders()

    async def two(*_: object) -> dict[str, list[int]]:
        return {"sla.heartbeats": [0, 1]}

    monkeypatch.setattr(heartbeat_reader.aiokafka_clients, "consumer", lambda *_, **__: client)
    monkeypatch.setattr(heartbeat_reader, "partitions_of", two)
    return client


def test_a_partition_without_a_leader_is_read_once_it_has_one_and_the_others_before(
    loses_leaders: LosesLeaders,
) -> None:
    async def scenario() -> None:
        made = KafkaHeartbeatReader(Settings(), {})
        loses_leaders.leader[0].set()
        assert await made.open() == 2
        await made.read()
        assert [made.caught_up(number) for number in range(2)] == [True, False]
        assert "sla.heartbeats/1 ends" in str(made.problem)
        loses_leaders.leader[1].set()
        async with asyncio.timeout(120):
            while made.problem is not None:
                await made.read()
        await made.read()
        assert made.caught_up(1)
        await made.close()

    asyncio.run(scenario())


def test_a_topic_without_any_answer_is_a_failed_start(loses_leaders: LosesLeaders) -> None:
    made = KafkaHeartbeatReader(Settings(), {})
    with pytest.raises(KafkaTimeoutError):
        asyncio.run(made.open())
    loses_leaders.refuses = True
    with pytest.raises(TopicAuthorizationFailedError):
        asyncio.run(KafkaHeartbeatReader(Settings(), {}).open())


def test_rows_have_the_instants_of_the_broker() -> None:
    rows = asyncio.run(reader(APPEND_TIME, APPEND_TIME).read())
    assert [(row.key, row.at) for row in rows] == [(b"beat/jobs/a", 7_000_000), (b"beat/jobs/a", 7_001_000)]


def test_what_was_written_by_the_clock_of_a_writer_has_no_meaning() -> None:
    rows = asyncio.run(reader(CREATE_TIME, APPEND_TIME).read())
    assert [(row.offset, row.key, row.value, row.at) for row in rows] == [
        (0, None, None, 0),
        (1, b"beat/jobs/a", b"{}", 7_001_000),
    ]


def test_a_topic_that_keeps_the_instants_of_writers_is_told_with_what_to_do() -> None:
    with pytest.raises(SlaError, match=r"sla\.heartbeats has message\.timestamp\.type CreateTime.*`sla topics apply`"):
        asyncio.run(reader(APPEND_TIME, CREATE_TIME).read())


def test_no_record_is_held_against_a_topic_of_which_the_end_is_not_known_yet() -> None:
    made = reader(CREATE_TIME, APPEND_TIME)
    made._ends = {}
    rows = asyncio.run(made.read())
    assert [(row.key, row.at) for row in rows] == [(None, 0), (b"beat/jobs/a", 7_001_000)]
