"""`TaskLog` on aiokafka: fencing, the changelog, and offsets, which use a separate connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, NamedTuple

from aiokafka.structs import TopicPartition

from streams.kafka import aiokafka_clients
from streams.kafka.cancellation import cancelled_by_us
from streams.kafka.causes import cause_of, explained_error
from streams.kafka.shutdown import end_consumer
from streams.kafka.topic_descriptions import KafkaPythonError, TopicDescription, TopicDescriptions
from streams.kafka.unexplained import message_of
from streams.runtime.changelog_rows import REPLAY_FETCH_BYTES, Rows, Written, changelog_rows
from streams.runtime.errors import TaskInterrupted
from streams.runtime.interfaces import Bounds
from streams.runtime.settings import RuntimeSettings
from streams.runtime.transactions import KafkaTransactions

#: An outage of Kafka is noticed after so long; these requests are small.
_DESCRIBE_MS = 5_000
#: A request for the ends of many partitions; aiokafka retries it for three times as long.
_TOGETHER_S = 5.0


class _EndRequest(NamedTuple):
    partitions: frozenset[TopicPartition]
    answer: asyncio.Future[Mapping[TopicPartition, int]]

    def settle(self, ends: Mapping[TopicPartition, int]) -> None:
        if not self.answer.done():
            self.answer.set_result(ends)


class Offsets:
    """Requests log starts, ends and committed offsets, for all tasks of a worker.

    Not on the input consumer's connection: there a long-polling fetch would hold the answer back. Requests for ends
    that come while one is under way share the next one, so that each is asked after its caller asked.
    """

    def __init__(self, settings: RuntimeSettings) -> None:
        self._settings = settings
        self._descriptions = TopicDescriptions(
            settings.brokers, settings.admin_security, min(settings.request_timeout_ms, _DESCRIBE_MS)
        )
        self._consumers: dict[tuple[str | None, bool], Any] = {}
        self._lock = asyncio.Lock()
        self._waiting: list[_EndRequest] = []
        self._requester: asyncio.Task[None] | None = None
        self._alone: set[asyncio.Task[None]] = set()
        self._unanswered: frozenset[TopicPartition] = frozenset()
        """Those that were asked for by themselves and got no answer, such as partitions without a leader."""

    async def ends(self, partitions: tuple[TopicPartition, ...]) -> Mapping[TopicPartition, int]:
        """The last stable offset of each, as of some moment after this call."""
        answer: asyncio.Future[Mapping[TopicPartition, int]] = asyncio.get_running_loop().create_future()
        self._waiting.append(_EndRequest(frozenset(partitions), answer))
        if self._requester is None or self._requester.done():
            self._requester = asyncio.create_task(self._request_ends())
        return await answer

    async def written(self, partitions: tuple[TopicPartition, ...]) -> Mapping[TopicPartition, int]:
        """The end of each with what open transactions have written. Raises TaskInterrupted."""
        return await self._ends_at_once(partitions, committed=False)

    async def stable_ends(self, partitions: tuple[TopicPartition, ...]) -> Mapping[TopicPartition, int]:
        """As `ends`, in a request that no other one shares or waits for. Raises TaskInterrupted."""
        return await self._ends_at_once(partitions, committed=True)

    async def _ends_at_once(
        self, partitions: Iterable[TopicPartition], *, committed: bool
    ) -> Mapping[TopicPartition, int]:
        try:
            return await self._ends(partitions, committed=committed)
        except Exception as error:
            raise TaskInterrupted(f"end offsets: {message_of(error)}") from error

    async def starts(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]:
        """The first offset of each."""
        consumer = await self._consumer(None)
        starts: Mapping[TopicPartition, int] = await consumer.beginning_offsets(list(partitions))
        return starts

    async def topics(self, names: Iterable[str], settings_of: Iterable[str] = ()) -> dict[str, TopicDescription]:
        """Those of the topics that exist, some with their settings. Raises TaskInterrupted."""
        try:
            return await self._descriptions.describe(names, settings_of)
        except (KafkaPythonError, OSError, RuntimeError) as error:  # RuntimeError: its connection was closed
            raise TaskInterrupted(explained_error(error, ",".join(self._settings.brokers))) from error

    @property
    def denied(self) -> frozenset[str]:
        """Of the topics that were asked for last, those that this user may not see."""
        return self._descriptions.denied

    async def delete_before(self, offsets: Mapping[tuple[str, int], int]) -> None:
        """Delete records below an offset, by (topic, partition). Raises TaskInterrupted."""
        try:
            await self._descriptions.delete_before(offsets)
        except (KafkaPythonError, OSError, RuntimeError) as error:
            raise TaskInterrupted(f"records can't be deleted: {cause_of(error).text}") from error

    async def topic_ids(self, names: Iterable[str]) -> dict[str, bytes]:
        """The id of each topic, as far as the broker tells it."""
        return {name: each.topic_id for name, each in (await self.topics(names)).items() if each.topic_id}

    async def committed(self, group: str, partition: TopicPartition) -> int | None:
        """The group's offset; None where it has none."""
        consumer = await self._consumer(group)
        offset: int | None = await consumer.committed(partition)
        return offset

    async def close(self) -> None:
        """Close the connections."""
        for task in (*self._alone, *([] if self._requester is None else [self._requester])):
            task.cancel()
        await self._descriptions.close()
        consumers, self._consumers = self._consumers, {}
        await asyncio.gather(*(end_consumer(consumer) for consumer in consumers.values()))

    async def _request_ends(self) -> None:
        """One request for all who wait. aiokafka answers none of it while one partition has no leader: then each is
        asked for by itself, so that one partition stops no other's timers."""
        await asyncio.sleep(0)
        while self._waiting:
            waiting, self._waiting = self._waiting, []
            together = [each for each in waiting if self._unanswered.isdisjoint(each.partitions)]
            apart = [each for each in waiting if not self._unanswered.isdisjoint(each.partitions)]
            wanted = {each for request in together for each in request.partitions}
            try:
                async with asyncio.timeout(_TOGETHER_S if len(together) > 1 else None):
                    ends = await self._ends(wanted)
            except (Exception, asyncio.CancelledError) as error:
                if cancelled_by_us():
                    raise
                if len(together) > 1:
                    apart += together
                elif together:
                    self._fail(together[0], error)
            else:
                for request in together:
                    request.settle(ends)
            for request in apart:
                task = asyncio.create_task(self._request_alone(request))
                self._alone.add(task)
                task.add_done_callback(self._alone.discard)

    async def _request_alone(self, request: _EndRequest) -> None:
        try:
            ends = await self._ends(request.partitions)
        except (Exception, asyncio.CancelledError) as error:
            if cancelled_by_us():
                raise
            self._fail(request, error)
        else:
            self._unanswered -= request.partitions
            request.settle(ends)

    def _fail(self, request: _EndRequest, error: BaseException) -> None:
        self._unanswered |= request.partitions
        if not request.answer.done():
            interrupted = TaskInterrupted(f"end offsets: {message_of(error)}")
            interrupted.__cause__ = error
            request.answer.set_exception(interrupted)

    async def _ends(
        self, partitions: Iterable[TopicPartition], *, committed: bool = True
    ) -> Mapping[TopicPartition, int]:
        wanted = list(partitions)
        if not wanted:
            return {}
        ends: Mapping[TopicPartition, int] = await (await self._consumer(None, committed=committed)).end_offsets(wanted)
        return ends

    async def _consumer(self, group: str | None, *, committed: bool = True) -> Any:
        """One that reads what is `committed`, or all."""
        async with self._lock:
            consumer = self._consumers.get((group, committed))
            if consumer is None:
                level = "read_committed" if committed else "read_uncommitted"
                consumer = new_consumer(self._settings, group_id=group, isolation_level=level)
                try:
                    await consumer.start()
                except BaseException:
                    await end_consumer(consumer)
                    raise
                self._consumers[group, committed] = consumer
            return consumer


def new_consumer(settings: RuntimeSettings, *, isolation_level: str = "read_committed", **options: object) -> Any:
    """A consumer that neither commits nor resets offsets by itself."""
    return aiokafka_clients.consumer(
        settings.brokers,
        settings.security,
        client_id=settings.app_id,
        isolation_level=isolation_level,
        auto_offset_reset="none",
        request_timeout_ms=settings.request_timeout_ms,
        fetch_max_wait_ms=settings.fetch_max_wait_ms,
        **options,
    )


class KafkaLog:
    """`TaskLog` on a real broker. Whatever a client raises is an interruption: some errors of theirs are none of
    Kafka's, and of a fault of this process few are tried again."""

    def __init__(
        self, settings: RuntimeSettings, offsets: Offsets, agent: str, partition: int, topics: tuple[str, ...]
    ) -> None:
        self._settings = settings
        self._offsets = offsets
        self._agent = agent
        self._partition = partition
        self._inputs = tuple(TopicPartition(topic, partition) for topic in topics)

    async def fence(self) -> KafkaTransactions:
        """Start the task's producer."""
        transactions = KafkaTransactions(self._settings, self._agent, self._partition)
        await transactions.fence()
        return transactions

    def replay(self) -> AsyncIterator[Rows]:
        """Every row of the changelog partition; of a former owner nothing is open after fencing. Raises TaskInterrupted
        while a transaction of another program hides rows: a task without them would decide again."""
        return self._rows(self._offsets.written)

    def readable_rows(self) -> AsyncIterator[Rows]:
        """Every row of the changelog partition up to its last stable offset, while its owner writes."""
        return self._rows(None)

    def _rows(self, written: Written | None) -> AsyncIterator[Rows]:
        consumer = new_consumer(self._settings, max_partition_fetch_bytes=REPLAY_FETCH_BYTES)
        changelog = self._settings.changelog(self._agent)
        return changelog_rows(consumer, self._agent, changelog, self._partition, written)

    async def committed(self) -> Mapping[str, int]:
        """The offsets of the agent's group."""
        group = self._settings.group(self._agent)
        found: dict[str, int] = {}
        try:
            for partition in self._inputs:
                offset = await self._offsets.committed(group, partition)
                if offset is not None:
                    found[partition.topic] = offset
        except Exception as error:
            raise self._interrupted("committed offsets", error) from error
        return found

    async def bounds(self) -> Mapping[str, Bounds]:
        """Where the inputs start and end."""
        try:
            starts = await self._offsets.starts(self._inputs)
        except Exception as error:
            raise self._interrupted("log starts", error) from error
        ends = await self._offsets.ends(self._inputs)
        return {each.topic: Bounds(starts[each], ends[each]) for each in self._inputs}

    async def topic_ids(self) -> Mapping[str, bytes]:
        """The ids of the inputs' topics and of the changelog."""
        names = [each.topic for each in self._inputs]
        return await self._offsets.topic_ids([*names, self._settings.changelog(self._agent)])

    async def ends(self) -> Mapping[str, int]:
        """Last stable offsets of the inputs."""
        ends = await self._offsets.ends(self._inputs)
        return {each.topic: ends[each] for each in self._inputs}

    def _interrupted(self, what: str, error: Exception) -> TaskInterrupted:
        return TaskInterrupted(f"{what}: {message_of(error)}", agent=self._agent, partition=self._partition)
