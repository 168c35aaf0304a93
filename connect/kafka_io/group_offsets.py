"""The offsets that the agents' consumer groups have committed: how far workers have read their input."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Self

from aiokafka.structs import TopicPartition

from connect.kafka_io.connection import REQUEST_TIMEOUT_MS, explained
from streams.kafka import aiokafka_clients
from streams.settings import Settings


class GroupOffsets:
    """Committed offsets, requested without joining a group. A context manager; raises BrokerProblem."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._brokers = list(settings.bootstrap())
        self._runner = asyncio.Runner()
        self._consumers: dict[str, Any] = {}

    def committed(self, agent: str, partitions: Iterable[tuple[str, int]]) -> dict[tuple[str, int], int]:
        """The next offset that an agent reads of each topic and partition; 0 where it has read nothing."""
        with explained(self._brokers):
            return self._runner.run(self._committed(agent, partitions))

    async def _committed(self, agent: str, partitions: Iterable[tuple[str, int]]) -> dict[tuple[str, int], int]:
        if agent not in self._consumers:
            consumer = aiokafka_clients.consumer(
                self._brokers,
                self._settings.aiokafka_security(),
                client_id="sla-offsets",
                group_id=self._settings.runtime().group(agent),
                request_timeout_ms=REQUEST_TIMEOUT_MS,
            )
            await consumer.start()
            self._consumers[agent] = consumer
        consumer = self._consumers[agent]
        return {where: await consumer.committed(TopicPartition(*where)) or 0 for where in partitions}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._runner:
            for consumer in self._consumers.values():
                self._runner.run(consumer.stop())
