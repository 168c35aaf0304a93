"""Kafka transactions of one task on aiokafka, which lacks KIP-447, so a stable transactional id does the fencing."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from aiokafka import errors as kafka
from aiokafka.structs import OffsetAndMetadata, TopicPartition

from streams.kafka import aiokafka_clients
from streams.kafka.causes import cause_of
from streams.kafka.invalid_records import InvalidRecordError
from streams.kafka.shutdown import abandon_transaction
from streams.kafka.unexplained import message_of
from streams.runtime.checkpoint import CHECKPOINT_KEY
from streams.runtime.errors import TaskError, TaskFenced, TaskInterrupted, TimestampsRefused, WriteRefused
from streams.runtime.interfaces import Write
from streams.runtime.processor import Send
from streams.runtime.settings import RuntimeSettings

_FENCED = (kafka.ProducerFenced, kafka.InvalidProducerEpoch)
_REFUSED = (
    kafka.MessageSizeTooLargeError,
    kafka.InvalidTopicError,
    kafka.TopicAuthorizationFailedError,
    kafka.GroupAuthorizationFailedError,
    kafka.ClusterAuthorizationFailedError,
    kafka.TransactionalIdAuthorizationFailed,
    kafka.UnsupportedVersionError,
    kafka.RecordListTooLargeError,
    InvalidRecordError,
)


def _retrieve_exception(future: asyncio.Future[object]) -> None:
    if not future.cancelled():
        future.exception()


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what led to it, also each error of a group."""
    yield error
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _causes(each)
    if error.__cause__ is not None:
        yield from _causes(error.__cause__)


class KafkaTransactions:
    """One transactional producer. It is discarded after any error: aiokafka commits a transaction in which a record
    failed unless that record was awaited, and a lost answer leaves the outcome unknown."""

    def __init__(self, settings: RuntimeSettings, agent: str, partition: int) -> None:
        self._settings = settings
        self._agent = agent
        self._partition = partition
        self._group = settings.group(agent)
        self._producer = aiokafka_clients.transactional_producer(
            settings.brokers,
            settings.security,
            client_id=f"{settings.app_id}-{agent}-{partition}",
            transactional_id=settings.transactional_id(agent, partition),
            transaction_timeout_ms=settings.transaction_timeout_ms,
            request_timeout_ms=settings.request_timeout_ms,
            max_batch_size=settings.batch_bytes,
            compression_type=settings.compression,
        )
        # After the transaction timeout the broker aborts the transaction, so waiting longer cannot help.
        self._give_up_after_s = (settings.transaction_timeout_ms + settings.request_timeout_ms) / 1_000

    async def fence(self) -> None:
        """InitProducerId: aborts or completes the former owner's transaction, and fences it."""
        try:
            async with asyncio.timeout(self._give_up_after_s):
                await self._producer.start()
        except Exception as error:
            await self.discard()
            raise self._classify(error) from error
        except asyncio.CancelledError:  # nobody else knows this producer: its connections would stay
            await self.discard()
            raise

    async def commit(self, write: Write) -> None:
        """Everything in `write`, or nothing."""
        try:
            async with asyncio.timeout(self._give_up_after_s):
                # 1. Begin.
                await self._producer.begin_transaction()
                # 2. Outputs, changelog rows and the checkpoint; every acknowledgement is awaited.
                await self._send(write)
                # 3. The position in the input.
                offsets = {
                    TopicPartition(topic, self._partition): OffsetAndMetadata(offset, "")
                    for topic, offset in write.offsets.items()
                }
                await self._send_offsets(offsets)
                # 4. Commit.
                await self._producer.commit_transaction()
        except Exception as error:
            raise self._classify(error) from error

    async def _send_offsets(self, offsets: dict[TopicPartition, OffsetAndMetadata]) -> None:
        try:
            await self._producer.send_offsets_to_transaction(offsets, self._group)
        except _REFUSED as error:
            if error.args:
                raise
            topics = ", ".join(sorted(each.topic for each in offsets))
            raise type(error)(f"offsets of {topics}") from error

    async def put_row(self, key: bytes, value: bytes) -> None:
        """One changelog row, or nothing."""
        changelog = self._settings.changelog(self._agent)
        try:
            async with asyncio.timeout(self._give_up_after_s):
                await self._producer.begin_transaction()
                await self._send_to(changelog, self._partition, [Send(changelog, self._partition, key, value, [])], 0)
                await self._producer.commit_transaction()
        except Exception as error:
            raise self._classify(error) from error

    async def _send(self, write: Write) -> None:
        by_target: defaultdict[tuple[str, int], list[Send]] = defaultdict(list)
        for send in write.effects.sends:
            by_target[send.topic, send.partition].append(send)
        changelog = self._settings.changelog(self._agent)
        rows = [Send(changelog, self._partition, key, value, []) for key, value in write.effects.rows.items()]
        rows.append(Send(changelog, self._partition, CHECKPOINT_KEY, write.checkpoint, []))
        by_target[changelog, self._partition] += rows
        # One coroutine per partition: aiokafka queues one batch per partition and waits until it is sent.
        async with asyncio.TaskGroup() as group:
            for (topic, partition), sends in by_target.items():
                group.create_task(self._send_to(topic, partition, sends, write.timestamp_ms))

    async def _send_to(self, topic: str, partition: int, sends: list[Send], timestamp_ms: int) -> None:
        waiting = []
        for batch in self._batches(sends, timestamp_ms):
            future = await self._producer.send_batch(batch, topic, partition=partition)
            future.add_done_callback(_retrieve_exception)  # another failure may leave this one unawaited
            waiting.append(future)
        try:
            for future in waiting:
                await future
        except _REFUSED as error:  # it names no topic, or does so only for some causes
            raise type(error)(f"{topic}, partition {partition}") from error

    def _batches(self, sends: list[Send], timestamp_ms: int) -> Iterator[Any]:
        batch = self._producer.create_batch()
        for send in sends:
            if batch.append(timestamp=timestamp_ms, key=send.key, value=send.value, headers=send.headers) is None:
                yield batch
                batch = self._producer.create_batch()
                batch.append(timestamp=timestamp_ms, key=send.key, value=send.value, headers=send.headers)
        batch.close()
        yield batch

    async def discard(self) -> None:
        """Stop without ending the transaction: the next owner ends it by fencing."""
        await abandon_transaction(self._producer)

    def _classify(self, error: BaseException) -> TaskError:
        """The TaskError for a client error: aiokafka wraps the cause in a KafkaError, a task group wraps it again. Of
        several partitions that fail together, one tells why, and the others that the transaction has failed."""
        causes = list(_causes(error))
        for each in causes:
            if isinstance(each, _FENCED):
                name = self._settings.transactional_id(self._agent, self._partition)
                reason = (
                    f"another process has begun to write as {name}, or a transaction took longer than Kafka lets it; "
                    "if this comes again and again, another deployment has the same SLA_APP_ID"
                )
                return TaskFenced(reason, agent=self._agent, partition=self._partition)
        for each in causes:
            if isinstance(each, _REFUSED):
                reason = f"Kafka refuses what is written: {cause_of(each).text}"
                return WriteRefused(reason, agent=self._agent, partition=self._partition)
        if any(isinstance(each, kafka.InvalidTimestampError) for each in causes):
            reason = "stream time is further from the broker's clock than its topics allow (message.timestamp.*.max.ms)"
            return TimestampsRefused(reason, agent=self._agent, partition=self._partition)
        return TaskInterrupted(message_of(error), agent=self._agent, partition=self._partition)
