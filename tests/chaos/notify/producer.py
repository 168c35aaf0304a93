"""aiokafka's idempotent producer over the fake broker: batches, sequence numbers, retries for ever."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

from aiokafka import errors as kafka
from aiokafka.structs import TopicPartition

from tests.chaos.loop import PROCESS

from .broker import Broker
from .partition_log import Headers, Sent

_METADATA_S = 10.0
_RETRY_S = 0.1
_LINGER_S = 0.002


class _Waiting(NamedTuple):
    sent: Sent
    future: asyncio.Future[Any]

    @property
    def size(self) -> int:
        return len(self.sent.key or b"") + len(self.sent.value or b"")


class Producer:
    """AIOKafkaProducer with `enable_idempotence`."""

    def __init__(self, broker: Broker, **_: object) -> None:
        self._broker = broker
        self._queues: defaultdict[TopicPartition, deque[_Waiting]] = defaultdict(deque)
        self._sequences: defaultdict[TopicPartition, int] = defaultdict(int)
        self._number = 0
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._stopped = False
        # What `streams.kafka.shutdown` closes of a producer that does not stop in time.
        self.client = SimpleNamespace(close=self._end)
        self._sender = SimpleNamespace(close=self._end)
        self._message_accumulator = SimpleNamespace(fail_all=self._fail_all)

    async def start(self) -> None:
        await self._broker.net.call("meta", lambda: None)
        self._number = await self._broker.net.call_until_answered("produce", self._broker.new_producer)
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Waits for all that was sent."""
        if self._stopped:
            return
        self._stopped = True
        while self._task is not None and not self._task.done() and (self._wake.is_set() or any(self._queues.values())):
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.01)
        await self._end()

    async def send(
        self,
        topic: str,
        value: bytes | None = None,
        key: bytes | None = None,
        partition: int = 0,
        headers: Headers | None = None,
    ) -> asyncio.Future[Any]:
        """Raises KafkaError where the topic does not come to exist."""
        if self._stopped:
            raise kafka.ProducerClosed
        where = TopicPartition(topic, partition)
        try:
            async with asyncio.timeout(_METADATA_S):
                while where not in self._broker.logs:
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise kafka.KafkaTimeoutError from None
        future = asyncio.get_running_loop().create_future()
        self._queues[where].append(_Waiting(Sent(key, value, tuple(headers or ())), future))
        self._wake.set()
        return future

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            await asyncio.sleep(_LINGER_S)
            self._wake.clear()
            while any(self._queues.values()):
                await self._deliver({where: self._batch(queue) for where, queue in self._queues.items() if queue})

    def _batch(self, queue: deque[_Waiting]) -> Sequence[_Waiting]:
        batch = [queue.popleft()]
        size = batch[0].size
        while queue and size + queue[0].size < self._broker.batch_bytes:
            size += queue[0].size
            batch.append(queue.popleft())
        return batch

    async def _deliver(self, batches: dict[TopicPartition, Sequence[_Waiting]]) -> None:
        given = {where: (self._sequences[where], [each.sent for each in batch]) for where, batch in batches.items()}
        process, net = PROCESS.get(), self._broker.net
        while True:
            try:
                offsets = await net.call(
                    "produce", lambda: self._broker.produce(process, self._number, given), line=(id(self), "produce")
                )
                break
            except kafka.KafkaError as error:
                if not error.retriable and not isinstance(error, kafka.UnknownTopicOrPartitionError):
                    self._fail(error, batches)
                    return
            await asyncio.sleep(_RETRY_S)
        for where, batch in batches.items():
            self._sequences[where] += len(batch)
            for offset, each in enumerate(batch, offsets[where]):
                if not each.future.done():
                    each.future.set_result(SimpleNamespace(topic_partition=where, offset=offset))

    def _fail(self, error: Exception, batches: dict[TopicPartition, Any]) -> None:
        for batch in batches.values():
            for each in batch:
                if not each.future.done():
                    each.future.set_exception(error)

    def _fail_all(self, error: Exception) -> None:
        self._fail(error, dict(self._queues))
        self._queues.clear()

    async def _end(self) -> None:
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
