"""A consumer looks for the new leader of a partition whose broker has lost the disk below it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import errors
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.structs import TopicPartition

from streams.kafka.patches import AIOKAFKA

PLACE = TopicPartition("sla.incident-events", 2)


def _metadata_requests_after(code: int) -> int:
    """How often the fetcher asks who leads, once a fetch of the partition was answered with an error."""
    asked: list[None] = []

    async def send(*_: object) -> Any:
        return SimpleNamespace(API_VERSION=4, topics=[(PLACE.topic, [(PLACE.partition, code, -1, -1, [], b"")])])

    state = SimpleNamespace(has_valid_position=True, position=7)
    fetcher: Any = Fetcher.__new__(Fetcher)
    fetcher._client = SimpleNamespace(send=send, force_metadata_update=lambda: asked.append(None))
    fetcher._client_rack = None
    fetcher._preferred_read_replica = {}
    request = SimpleNamespace(topics=[(PLACE.topic, [(PLACE.partition, 7, 1)])])
    assignment = SimpleNamespace(active=True, state_value=lambda _: state)
    assert asyncio.run(fetcher._proc_fetch_request(assignment, 1, request)) is False
    return len(asked)


@pytest.mark.parametrize(
    "error", [errors.KafkaStorageError, errors.ReplicaNotAvailableError, errors.NotLeaderForPartitionError]
)
def test_the_leader_is_looked_for(error: type[errors.KafkaError]) -> None:
    AIOKAFKA.apply_all()
    assert _metadata_requests_after(error.errno) == 1


def test_other_errors_do_not_concern_the_leader() -> None:
    AIOKAFKA.apply_all()
    assert _metadata_requests_after(errors.UnknownError.errno) == 0
