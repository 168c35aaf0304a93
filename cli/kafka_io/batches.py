"""Record batches on their way to Kafka: filled here, acknowledged there."""

from __future__ import annotations

import asyncio
from typing import Any

from cli.kafka_io.connection import BrokerProblem

#: aiokafka's idempotent producer tries for ever; people want to know.
ACK_TIMEOUT_S = 30
_IN_FLIGHT = 64


class Batches:
    """One record batch being filled for each partition; sent when full or when asked."""

    def __init__(self, producer: Any) -> None:
        self._producer = producer
        self._open: dict[tuple[str, int], Any] = {}
        self._sent: list[tuple[asyncio.Future[object], int]] = []
        self.acknowledged = 0

    async def add(self, topic: str, partition: int, key: bytes, value: bytes, headers: list[tuple[str, bytes]]) -> None:
        """Put a record into its partition's batch; waits while too much is under way."""
        where = (topic, partition)
        batch = self._open.get(where)
        if batch is not None and batch.append(timestamp=None, key=key, value=value, headers=headers) is not None:
            return
        if batch is not None:
            await self._send(where)
        batch = self._open[where] = self._producer.create_batch()
        added = batch.append(timestamp=None, key=key, value=value, headers=headers)
        assert added is not None, "a record fits an empty batch"

    async def flush(self) -> None:
        """Send what waits and await every acknowledgement."""
        for where in list(self._open):
            await self._send(where)
        await self._acknowledge(0)

    async def abandon(self) -> None:
        """After an error: count what was acknowledged all the same, and forget the rest."""
        for future, _ in self._sent:
            future.cancel()
        results = await asyncio.gather(*(future for future, _ in self._sent), return_exceptions=True)
        done = [count for (_, count), result in zip(self._sent, results, strict=True) if not _failed(result)]
        self.acknowledged += sum(done)
        self._sent.clear()

    async def _send(self, where: tuple[str, int]) -> None:
        batch = self._open.pop(where)
        batch.close()
        future = await self._producer.send_batch(batch, where[0], partition=where[1])
        self._sent.append((future, batch.record_count()))
        await self._acknowledge(_IN_FLIGHT)

    async def _acknowledge(self, leave: int) -> None:
        while len(self._sent) > leave:
            future, count = self._sent[0]
            try:
                await asyncio.wait_for(future, ACK_TIMEOUT_S)
            except TimeoutError:
                raise BrokerProblem(f"Kafka has acknowledged nothing for {ACK_TIMEOUT_S} s") from None
            self.acknowledged += count
            del self._sent[0]


def _failed(result: object) -> bool:
    return isinstance(result, BaseException)
