"""Faust's Kafka transport, handing an agent the batches of a topic instead of one message per record.

Faust's consumer only assigns here: it commits nothing, resets nothing and never seeks by itself. Every partition starts
paused at assignment; it opens when a task says where to start.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from time import monotonic
from typing import Any, ClassVar, TypeVar, cast

import aiokafka
import faust
from aiokafka import errors as kafka
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.structs import TopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage
from yarl import URL

from streams.kafka.header_names import accept_any
from streams.kafka.record_batches import fetched
from streams.runtime.interfaces import Batch, RawRecord
from streams.runtime.settings import RuntimeSettings

_T = TypeVar("_T")
_IDLE_S = 0.2
_FETCH_PAUSE_S = 0.02
"""After taking something, before the next look. Meanwhile aiokafka fetches no more from a broker (for 100 ms at most);
without a rest each record that comes in alone, and each marker, is a fetch of its own of all partitions."""
_FAULT_PAUSE_S = 0.5


class BatchTopic(faust.Topic):  # type: ignore[misc]
    """A topic whose messages are batches already: decoding passes them through."""

    def _compile_decode(self) -> None:
        async def decode(message: Any, *, propagate: bool = False) -> Any:
            return self._create_event(None, message.value, None, message)

        self.decode = decode


class PausedListener(driver.ConsumerRebalanceListener):  # type: ignore[misc]
    """Closes every assigned partition before a single record of it can be fetched."""

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Runs in the consumer's thread, before its fetcher sees the assignment."""
        assigned = list(assigned)
        self._thread.close_all(assigned)
        await super().on_partitions_assigned(assigned)


class BatchThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    """The consumer's own thread: heartbeats and fetches go on while the main thread decides."""

    _taken_at = 0.0
    _failed: kafka.KafkaError | None = None

    async def pause_between_fetches(self) -> None:
        """Until so long after the last taking; not at all where that is past."""
        left = self._taken_at + _FETCH_PAUSE_S - monotonic()
        if left > 0:
            await asyncio.sleep(left)

    def close_all(self, partitions: Iterable[TopicPartition]) -> None:
        """A valid position keeps aiokafka from looking for a committed one; pausing keeps it from fetching there."""
        consumer = self._ensure_consumer()
        for partition in partitions:
            consumer.pause(partition)
            consumer.seek(partition, 0)

    def _create_worker_consumer(self, transport: BatchTransport) -> aiokafka.AIOKafkaConsumer:
        settings = transport.settings
        accept_any()
        self._assignor = RangePartitionAssignor  # equal partition counts: partition p of every topic has one owner
        return aiokafka.AIOKafkaConsumer(
            bootstrap_servers=list(settings.brokers),
            client_id=settings.app_id,
            group_id=settings.app_id,
            group_instance_id=settings.group_instance_id,
            partition_assignment_strategy=[RangePartitionAssignor],
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            fetch_max_wait_ms=settings.fetch_max_wait_ms,
            max_partition_fetch_bytes=settings.fetch_max_bytes,
            request_timeout_ms=max(settings.request_timeout_ms, settings.session_timeout_ms),
            session_timeout_ms=settings.session_timeout_ms,
            heartbeat_interval_ms=settings.heartbeat_interval_ms,
            rebalance_timeout_ms=settings.rebalance_timeout_ms,
            **settings.security,
        )

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Faust's livelock warnings follow its own commits, of which there are none."""

    async def take(self, wanted: frozenset[TopicPartition], timeout_s: float) -> list[Batch]:
        """What has been fetched of the wanted partitions, or nothing after `timeout_s`.

        Raises what fetching one of them met, after what the others had has been taken.
        """
        if self._failed is not None:
            failed, self._failed = self._failed, None
            raise failed
        fetcher = self._ensure_consumer()._fetcher
        subscriptions = fetcher._subscriptions
        subscription = subscriptions.subscription
        if fetcher._closed:
            raise kafka.ConsumerStoppedError
        if subscriptions.reassignment_in_progress or subscription is None or subscription.assignment is None:
            await asyncio.sleep(0.05)
            return []
        with subscriptions.fetch_context():
            batches = await self._look(fetcher, subscription.assignment, wanted)
            if batches:
                self._taken_at = monotonic()
            elif self._failed is None:
                self._waiter = fetcher._create_fetch_waiter()
                await asyncio.wait([self._waiter], timeout=timeout_s)
                if not self._waiter.done():
                    self._waiter.cancel()
        return batches

    async def _look(self, fetcher: Any, assignment: Any, wanted: frozenset[TopicPartition]) -> list[Batch]:
        """Positions are read before and after without giving way to other tasks, so a seek can't come in between."""
        states = {tp: assignment.state_value(tp) for tp in wanted if tp in assignment.tps}
        starts = {tp: state.position for tp, state in states.items() if state.has_valid_position}
        records: dict[TopicPartition, list[RawRecord]] = {}
        for tp in [tp for tp in fetcher._records if tp in starts]:
            try:
                records[tp] = await fetched(fetcher, tp)
            except kafka.KafkaError as error:
                self._failed = error
        return [
            Batch(tp.topic, tp.partition, start, states[tp].position, records.get(tp, ()))
            for tp, start in starts.items()
            if states[tp].position != start
        ]

    def nudge(self) -> None:
        """Look again: another partition is wanted."""
        waiter = getattr(self, "_waiter", None)
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def start_at(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Seek and open; partitions that have been revoked meanwhile are left out."""
        consumer = self._ensure_consumer()
        assigned = consumer.assignment()
        for partition, offset in offsets.items():
            if partition in assigned:
                consumer.seek(partition, offset)
                consumer.resume(partition)
        self.nudge()

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
        """Deliver from these. What was fetched of the others stays in the fetcher, which then fetches no more."""
        added = partitions - self._open
        self._open = partitions
        if added and self._thread.started:
            self._thread.thread_loop.call_soon_threadsafe(self._thread.nudge)

    async def start_at(self, offsets: Mapping[TopicPartition, int]) -> None:
        """The tasks' word on where to read."""

        async def seek() -> None:
            self._thread.start_at(offsets)

        await self._thread.in_thread(seek)

    async def perform_seek(self) -> None:
        """Faust would go to its committed offsets; the tasks say where to start."""

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
                self.log.warning("fetching failed: %r", error)
                await self.sleep(_FAULT_PAUSE_S)
                continue
            # A message takes some turns of the event loop, and in each a task may decide: so one for a topic, not one
            # for each of its partitions.
            for _, group in groupby(sorted(batches, key=attrgetter("topic")), attrgetter("topic")):
                await self.wait_first(self.callback(self._message(tuple(group))), self.suspend_flow.wait())

    async def _take(self) -> list[Batch]:
        await self._thread.pause_between_fetches()
        return await self._thread.take(self._open, _IDLE_S)  # what is open after the rest

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
    """Give it to `faust.App.transport`."""

    Consumer: ClassVar[type[BatchConsumer]] = BatchConsumer

    def __init__(
        self,
        app: faust.App,
        settings: RuntimeSettings,
        on_out_of_range: Callable[[TopicPartition, int], None],
    ) -> None:
        super().__init__([URL(f"kafka://{broker}") for broker in settings.brokers], app)
        self.settings = settings
        self.on_out_of_range = on_out_of_range
