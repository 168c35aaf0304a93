"""Describes topics, and deletes records that all readers have applied: what aiokafka 0.14 lacks, on kafka-python.

kafka-python blocks, so it runs in a thread, one request at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from kafka import TopicPartition
from kafka.errors import KafkaError as KafkaPythonError

from streams.kafka import kafka_python_clients

__all__ = ["KafkaPythonError", "TopicDescription", "TopicDescriptions"]

_T = TypeVar("_T")


class TopicDescription(NamedTuple):
    """An existing topic: its number of partitions, and its id (empty if the broker tells none)."""

    partitions: int
    topic_id: bytes


class TopicDescriptions:
    """One connection for administration, opened when first used. Raises KafkaPythonError or OSError.

    Requests that come while one is under way share the next one, so that each is sent after its caller asked.
    """

    def __init__(self, brokers: Iterable[str], security: Mapping[str, object], timeout_ms: int) -> None:
        self._config: dict[str, object] = {
            "bootstrap_servers": list(brokers),
            "client_id": "sla-topics",
            "request_timeout_ms": timeout_ms,
            "bootstrap_timeout_ms": timeout_ms,
            **security,
        }
        self._admin: Any = None
        self._names: set[str] = set()
        self._lock = asyncio.Lock()
        self._next: asyncio.Task[dict[str, TopicDescription]] | None = None

    async def describe(self, names: Iterable[str]) -> dict[str, TopicDescription]:
        """Those of the topics that exist."""
        wanted = set(names)
        self._names |= wanted
        if self._next is None:
            self._next = asyncio.create_task(self._describe())
        found = await asyncio.shield(self._next)
        return {name: each for name, each in found.items() if name in wanted}

    async def delete_before(self, offsets: Mapping[tuple[str, int], int]) -> None:
        """Delete the records below an offset, by (topic, partition)."""
        wanted = {TopicPartition(*where): offset for where, offset in offsets.items()}
        async with self._lock:
            await self._run(lambda admin: admin.delete_records(wanted))

    async def close(self) -> None:
        """Close the connection."""
        async with self._lock:
            admin, self._admin = self._admin, None
            if admin is not None:
                await asyncio.to_thread(admin.close)

    async def _describe(self) -> dict[str, TopicDescription]:
        async with self._lock:
            self._next, names = None, sorted(self._names)
            found = await self._run(lambda admin: admin.describe_topics(names))
        return {
            each["name"]: TopicDescription(len(each["partitions"]), _topic_id(each.get("topic_id")))
            for each in found
            if not each["error_code"]
        }

    async def _run(self, work: Callable[[Any], _T]) -> _T:
        def run() -> _T:
            if self._admin is None:
                self._admin = kafka_python_clients.admin(**self._config)
            return work(self._admin)

        return await asyncio.to_thread(run)


def _topic_id(value: object) -> bytes:
    """Brokers before 2.8 tell none; an id of zeros is none."""
    try:
        data = UUID(str(value)).bytes
    except ValueError:
        return b""
    return data if any(data) else b""
