"""A client asks for metadata again and again while a partition has no leader: not as fast as brokers answer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka.client import AIOKafkaClient

from streams.kafka.patches import AIOKAFKA
from streams.kafka.patches.for_aiokafka import metadata_backoff
from tests.waiting import in_virtual_time


def test_updates_are_forced_at_once_only_a_few_times_in_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    assert AIOKAFKA.applied("metadata_backoff")
    monkeypatch.setattr(metadata_backoff, "_WITHIN_S", 0.1)
    asked: list[float] = []

    async def force(times: int) -> None:
        client: Any = AIOKafkaClient(bootstrap_servers="127.0.0.1:1")

        async def answer(*_: object) -> bool:
            asked.append(asyncio.get_running_loop().time())
            return True

        client._metadata_update = answer
        updating = asyncio.create_task(client._md_synchronizer())
        for _ in range(times):
            assert await client.force_metadata_update()
        updating.cancel()

    in_virtual_time(lambda: force(16))
    assert asked == [0.1 * (number // 5) for number in range(16)]


def test_callers_share_an_update() -> None:
    async def force() -> int:
        client: Any = AIOKafkaClient(bootstrap_servers="127.0.0.1:1")
        updates = 0

        async def answer(*_: object) -> bool:
            nonlocal updates
            updates += 1
            return True

        client._metadata_update = answer
        updating = asyncio.create_task(client._md_synchronizer())
        assert await asyncio.gather(*(client.force_metadata_update() for _ in range(9))) == [True] * 9
        updating.cancel()
        return updates

    assert asyncio.run(force()) == 1
