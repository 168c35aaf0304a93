"""Heartbeats count by the broker's clock alone."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from aiokafka.structs import ConsumerRecord, TopicPartition

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
