"""Faust's Kafka transport, changed to deliver the batches of a topic instead of one message per record.

Faust's consumer only handles assignment: it commits nothing, resets nothing and never seeks by itself. Every partition
starts paused at assignment and is resumed when a task says where to start.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from time import monotonic
from typing import Any, ClassVar, TypeVar, cast

import faust
from aiokafka import errors as kafka
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.structs import TopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage
from yarl import URL

from streams.kafka import aiokafka_clients
from streams.kafka.batch_reader import BatchReader, batch_reader
from streams.kafka.group_errors import group_error
from streams.kafka.shutdown import end_consumer
from streams.runtime.interfaces import Batch
from streams.runtime.settings import RuntimeSettings

_T = TypeVar("_T")
_IDLE_S = 0.2
_FETCH_PAUSE_S = 0.02
"""Between taking batches and looking for more. aiokafka sends a broker the next fetch only when all of the last one is
taken (or after 100 ms); without the pause each single record and each marker would cost a fetch of all partitions."""
_FAULT_PAUSE_S = 0.5


class BatchTopic(faust.Topic):  # type: ignore[misc]
    """A topic whose messages are batches: decoding passes them through."""

    def _compile_decode(self) -> None:
        async def decode(message: Any, *, propagate: bool = False) -> Any:
            return self._create_event(None, message.value, None, message)

        self.decode = decode


class PausedListener(driver.ConsumerRebalanceListener):  # type: ignore[misc]
    """Pauses every assigned partition before any record of it can be fetched."""

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Runs in the consumer's thread, before its fetcher sees the assignment."""
        assigned = list(assigned)
        self._thread.close_all(assigned)
        await super().on_partitions_assigned(assigned)


class BatchThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    """The consumer's thread: heartbeats and fetches go on while the main thread runs tasks."""

    _taken_at = 0.0
    _batch_reader: BatchReader | None = None

    async def pause_between_fetches(self) -> None:
        """Sleep until `_FETCH_PAUSE_S` after the last batches were taken."""
        left = self._taken_at + _FETCH_PAUSE_S - monotonic()
        if left > 0:
            await asyncio.sleep(left)

    async def on_thread_stop(self) -> None:
        """As Faust's, which waits for as long as a request may take when Kafka is away."""
        await super(driver.AIOKafkaConsumerThread, self).on_thread_stop()
        if self._consumer is not None:
            await end_consumer(self._consumer)

    def close_all(self, partitions: Iterable[TopicPartition]) -> None:
        """A valid position keeps aiokafka from looking for a committed one; pausing keeps it from fetching there."""
        consumer = self._ensure_consumer()
        for partition in partitions:
            consumer.pause(partition)
            consumer.seek(partition, 0)

    def _create_worker_consumer(self, transport: BatchTransport) -> Any:
        settings = transport.settings
        self._assignor = RangePartitionAssignor  # equal partition counts: partition p of every topic has one owner
        return aiokafka_clients.consumer(
            settings.brokers,
            settings.security,
            client_id=settings.app_id,
            group_id=settings.app_id,
            group_instance_id=settings.group_instance_id,
            partition_assignment_strategy=[RangePartitionAssignor],
            auto_offset_reset="none",
            isolation_level="read_committed",
            fetch_max_wait_ms=settings.fetch_max_wait_ms,
            max_partition_fetch_bytes=settings.fetch_max_bytes,
            request_timeout_ms=max(settings.request_timeout_ms, settings.session_timeout_ms),
            session_timeout_ms=settings.session_timeout_ms,
            heartbeat_interval_ms=settings.heartbeat_interval_ms,
            rebalance_timeout_ms=settings.rebalance_timeout_ms,
        )

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Faust's livelock warnings follow its own commits, of which there are none."""

    async def take(self, wanted: frozenset[TopicPartition], timeout_s: float) -> list[Batch]:
        """`BatchReader.take` of this thread's consumer."""
        batches = await self._reader().take(wanted, timeout_s)
        if batches:
            self._taken_at = monotonic()
        return batches

    def nudge(self) -> None:
        """End a waiting `take`: another partition is wanted."""
        if self._batch_reader is not None:
            self._batch_reader.nudge()

    def _reader(self) -> BatchReader:
        if self._batch_reader is None:
            self._batch_reader = batch_reader(self._ensure_consumer())
        return self._batch_reader

    def start_at(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Seek and resume; partitions that have been revoked meanwhile are left out."""
        consumer = self._ensure_consumer()
        assigned = consumer.assignment()
        for partition, offset in offsets.items():
            if partition in assigned:
                consumer.seek(partition, offset)
                consumer.resume(partition)
                self._reader().moved()
        self.nudge()

    async def group_error(self) -> BaseException | None:
        """`group_error` of this thread's consumer."""
        return None if self._consumer is None else group_error(self._consumer)

    async def in_thread(self, work: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        """Run on the consumer's loop, wait on ours."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work(), self.thread_loop))


class BatchConsumer(driver.Consumer):  # type: ignore[misc]
    """Faust's consumer with a drain loop that moves the batches of a topic at once."""

    RebalanceListener: ClassVar[type[PausedListener]] = PausedListener
    _thread: BatchThread

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._open: frozenset[TopicPartition] = frozenset()
        self._on_out_of_range: Callable[[TopicPartition, int], None] = self.transport.on_out_of_range

    def _new_consumer_thread(self) -> BatchThread:
        return BatchThread(self, loop=self.loop, beacon=self.beacon)

    def open_only(self, partitions: frozenset[TopicPartition]) -> None:
        """Deliver from these only. What was fetched of the others stays in the fetcher, which then fetches no more."""
        added = partitions - self._open
        self._open = partitions
        if added and self._thread.started:
            self._thread.thread_loop.call_soon_threadsafe(self._thread.nudge)

    async def start_at(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Seek to the offsets that the tasks want."""

        async def seek() -> None:
            self._thread.start_at(offsets)

        await self._thread.in_thread(seek)

    async def group_error(self) -> BaseException | None:
        """Why Kafka keeps the worker out of its group; it tries again. Raises GroupLeft."""
        return await self._thread.in_thread(self._thread.group_error) if self._thread.started else None

    async def perform_seek(self) -> None:
        """Faust would seek to its committed offsets; here the tasks do."""

    async def commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        """Faust commits nothing: a task's transaction holds its offsets."""
        return False

    async def wait_empty(self) -> None:
        """Nothing is acknowledged through Faust, so there is nothing to wait for."""

    async def _drain_messages(self, fetcher: Any) -> None:
        thread = self._thread
        while not (self._stopped.is_set() or fetcher._stopped.is_set()):
            if not self.flow_active:
                await self.wait(self.can_resume_flow)
                continue
            try:
                batches = await thread.in_thread(self._take)
            except kafka.OffsetOutOfRangeError as error:
                for partition, offset in error.args[0].items():
                    self._on_out_of_range(partition, offset)
                continue
            except (kafka.ConsumerStoppedError, asyncio.CancelledError):
                if self.transport.app.should_stop or self._stopped.is_set():
                    return
                raise
            except kafka.KafkaError as error:
                self.transport.on_fetch_failed(error)
                await self.sleep(_FAULT_PAUSE_S)
                continue
            # A message takes some iterations of the event loop, and a task may run a slice in each: so one message for
            # each topic, not one for each partition.
            for _, group in groupby(sorted(batches, key=attrgetter("topic")), attrgetter("topic")):
                await self.wait_first(self.callback(self._message(tuple(group))), self.suspend_flow.wait())

    async def _take(self) -> list[Batch]:
        await self._thread.pause_between_fetches()
        return await self._thread.take(self._open, _IDLE_S)  # `_open` may change during the pause

    def _message(self, batches: Sequence[Batch]) -> ConsumerMessage:
        last = batches[-1]
        return ConsumerMessage(
            last.topic,
            last.partition,
            last.end - 1,
            0.0,
            1,
            [],
            None,
            cast(Any, batches),
            None,
            0,
            0,
            TP(last.topic, last.partition),
            generation_id=self.app.consumer_generation_id,
        )


class BatchTransport(driver.Transport):  # type: ignore[misc]
    """The transport to set as `faust.App.transport`."""

    Consumer: ClassVar[type[BatchConsumer]] = BatchConsumer

    def __init__(
        self,
        app: faust.App,
        settings: RuntimeSettings,
        on_out_of_range: Callable[[TopicPartition, int], None],
        on_fetch_failed: Callable[[Exception], None],
    ) -> None:
        super().__init__([URL(f"kafka://{broker}") for broker in settings.brokers], app)
        self.settings = settings
        self.on_out_of_range = on_out_of_range
        self.on_fetch_failed = on_fetch_failed
