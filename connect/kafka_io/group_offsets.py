"""The offsets that the agents' consumer groups have committed: how far workers have read their input, and how many
workers there are."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Self

from aiokafka.errors import GroupAuthorizationFailedError, KafkaError, for_code
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
        self._admin: Any = None

    def committed(self, agent: str, partitions: Iterable[tuple[str, int]]) -> dict[tuple[str, int], int]:
        """The next offset that an agent reads of each topic and partition; 0 where it has read nothing."""
        with explained(self._brokers):
            return self._runner.run(self._committed(agent, partitions))

    def members(self) -> int | None:
        """How many workers are members of the deployment's group now; None when this user may not ask, or when the
        broker cannot say now."""
        with explained(self._brokers):
            try:
                return self._runner.run(self._members())
            except KafkaError as error:
                if error.retriable or isinstance(error, GroupAuthorizationFailedError):
                    return None
                raise

    async def _members(self) -> int:
        if self._admin is None:
            admin = aiokafka_clients.admin(
                self._brokers,
                self._settings.aiokafka_security(),
                client_id="sla-offsets",
                request_timeout_ms=REQUEST_TIMEOUT_MS,
            )
            await admin.start()
            self._admin = admin
        (answer,) = await self._admin.describe_consumer_groups([self._settings.runtime().app_id])
        (group,) = answer.groups
        error, members = group[0], group[5]
        if error:
            raise for_code(error)
        return len(members)

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
            if self._admin is not None:
                self._runner.run(self._admin.close())
