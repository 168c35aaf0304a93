"""The Kafka connections of a destination worker: consumer group, rows written and read back, end offsets."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

import structlog
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import KafkaTimeoutError
from aiokafka.structs import TopicPartition

from connect.notify.group_membership import GroupMembership
from connect.notify.page_store_rows import TOPIC, StateRow, StoredPages, prefix_of
from connect.notify.read_positions import Committed, Offsets
from connect.notify.row_loading import OnRow, RowLoading, Wants
from connect.notify.topic_ids import TopicIds
from streams.errors import SlaError
from streams.kafka import aiokafka_clients
from streams.kafka.committed_offsets import committed_with_texts
from streams.kafka.shutdown import end_consumer, end_producer
from streams.settings import Settings

ALERTS, INCIDENTS = "alerts", "incidents"
_REQUEST_MS = 10_000
_LINGER_MS = 2
_FETCH_BYTES = 512 * 1024
#: Of a partition of alerts or closings, of which each destination holds so much that it has not looked at yet: with a
#: backlog, a hundred destinations held 400 MB for eight partitions. A record that is larger is fetched all the same.
_GROUP_FETCH_BYTES = 64 * 1024
_LARGEST_ROW = 5 * 1024 * 1024
_FETCH_WAIT_MS = 250
#: How long a partition is waited for while others go on: less than the time of a request.
_ANSWER_S = 3.0


def group_of(prefix: str, destination: str) -> str:
    """The consumer group of a destination."""
    return f"{prefix}-notify-{destination}"


class PageStore:
    """The connections of one destination's worker. Raises KafkaError, OSError when Kafka is unavailable, SlaError
    without topics.

    `loading` reads the rows back, for all workers of a process at a time. `begun` are the partitions whose offsets this
    group has had while the process runs. `topic_ids` asks Kafka for the ids of topics.
    """

    def __init__(
        self,
        settings: Settings,
        destination: str,
        loading: RowLoading,
        begun: set[TopicPartition] | None = None,
        topic_ids: TopicIds | None = None,
    ) -> None:
        self._topic_ids = topic_ids
        self._begun = set() if begun is None else begun
        self._log = structlog.get_logger("connect.notify")
        self._bootstrap = list(settings.bootstrap())
        self._security = settings.aiokafka_security()
        self._prefix = settings.topic_prefix
        self._group = group = group_of(settings.topic_prefix, destination)
        self._own = prefix_of(destination)
        self._loading = loading
        self._producer: Any = None
        self._metadata_consumer: Any = None
        self._session_ms = settings.session_timeout // 1_000
        self._order = asyncio.Lock()
        self._silence_s = self._session_ms / 2_000
        self.member = GroupMembership(group, self.topic(ALERTS), lambda: self.consumer, self._silence_s)
        self._unanswered = set[TopicPartition]()
        """Partitions whose brokers gave no answer when they were asked last."""
        self.consumer: Any = None

    def topic(self, suffix: str) -> str:
        return f"{self._prefix}.{suffix}"

    async def start(self, listener: Any) -> None:
        """Connect and join the group; `listener` is notified of partitions."""
        self._metadata_consumer = self._new_consumer(group_id=None)
        await self._metadata_consumer.start()
        await self._check_topics()
        self._producer = aiokafka_clients.idempotent_producer(
            self._bootstrap,
            self._security,
            client_id="sla-notify",
            linger_ms=_LINGER_MS,
            request_timeout_ms=_REQUEST_MS,
            max_request_size=_LARGEST_ROW,
        )
        await self._producer.start()
        self.consumer = self._new_consumer(
            group_id=self._group,
            isolation_level="read_committed",
            max_partition_fetch_bytes=_GROUP_FETCH_BYTES,
            session_timeout_ms=self._session_ms,
            heartbeat_interval_ms=max(self._session_ms // 10, 100),
            # The same partition of all three goes to the same member: pages and their alerts stay together.
            partition_assignment_strategy=(RangePartitionAssignor,),
        )
        self.consumer.subscribe([self.topic(each) for each in (ALERTS, INCIDENTS, TOPIC)], listener=listener)
        await self.consumer.start()

    async def stop(self) -> None:
        """Leave the group, so that another member takes over at once, and close the connections."""
        readers = (end_consumer(each) for each in (self.consumer, self._metadata_consumer) if each is not None)
        writers = (end_producer(each) for each in (self._producer,) if each is not None)
        await asyncio.gather(*readers, *writers)

    async def write(self, partition: int, rows: Iterable[StateRow]) -> None:
        """Returns when all replicas have the rows, which are stored in the order of the calls, and the partition was
        still assigned to this member not long before. Raises SlaError where it may be another's, KafkaError."""
        sent: list[asyncio.Future[Any]] = []
        try:
            async with self._order:
                await self.member.prove()
                headers = self.member.headers
                for row in rows:
                    sent.append(await self._send(partition, row, headers if row.key.startswith(self._own) else None))
            left = set(sent)
            while left:  # Kafka's client tries for ever; where a quota delays rows the group answers all the same
                taken, left = await asyncio.wait(left, timeout=self._silence_s, return_when=asyncio.FIRST_EXCEPTION)
                for each in taken:
                    each.result()
                await self.member.prove()
        finally:
            _abandon(sent)

    async def append(self, partition: int, rows: Iterable[StateRow]) -> None:
        """Rows that are of no destination: whoever owns the partition. Raises SlaError before anything was sent, where
        this process may have been suspended, and KafkaError."""
        sent: list[asyncio.Future[Any]] = []
        try:
            async with self._order:
                await self.member.prove()
                for row in rows:
                    sent.append(await self._send(partition, row))
            await asyncio.gather(*sent)
        finally:
            _abandon(sent)

    async def _send(self, partition: int, row: StateRow, headers: Any = None) -> asyncio.Future[Any]:
        sent: asyncio.Future[Any] = await self._producer.send(
            self.topic(TOPIC), key=row.key, value=row.value, partition=partition, headers=headers
        )
        return sent

    async def ends(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]:
        """The offsets after the last records that had been written when this was called, committed or not."""
        ends: Mapping[TopicPartition, int] = await self._metadata_consumer.end_offsets(list(partitions))
        return ends

    async def known_ends(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]:
        """As `ends`, without the partitions whose brokers give no answer. Raises KafkaError where none does."""
        asked = list(partitions)
        try:
            found = await self.ends(asked)
        except KafkaTimeoutError:
            found = await self._answered_ends(asked)
            if not found:
                raise
        self._unanswered = set(asked).difference(found)
        return found

    async def known_starts(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]:
        """The offsets of the first records that are left; of none where Kafka gives no answer soon."""
        try:
            async with asyncio.timeout(_ANSWER_S):
                starts: Mapping[TopicPartition, int] = await self._metadata_consumer.beginning_offsets(list(partitions))
        except (KafkaTimeoutError, TimeoutError):
            return {}
        return starts

    async def known_end(self, where: TopicPartition) -> int | None:
        """As `ends`; None where its broker gives no answer."""

        async def end() -> int:
            return (await self.ends([where]))[where]

        return await self._answer(where, end)

    async def known_first(self, where: TopicPartition, at: int) -> int | None:
        """The offset of the first record from an instant on (milliseconds), or the end; None where its broker gives no
        answer."""

        async def first() -> int:
            found = (await self.consumer.offsets_for_times({where: at}))[where]
            return (await self.ends([where]))[where] if found is None else int(found.offset)

        return await self._answer(where, first)

    async def _answer(self, where: TopicPartition, ask: Callable[[], Awaitable[int]]) -> int | None:
        """None where there is none soon, at once if that is known: alerts of other partitions wait meanwhile."""
        if where in self._unanswered:
            return None
        try:
            async with asyncio.timeout(_ANSWER_S):
                return await ask()
        except (KafkaTimeoutError, TimeoutError):
            self._unanswered.add(where)
            return None

    async def _answered_ends(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """One partition without a leader keeps Kafka's client from telling any of them."""
        asked = [asyncio.ensure_future(self._metadata_consumer.end_offsets([where])) for where in partitions]
        try:
            await asyncio.wait(asked, timeout=_ANSWER_S)
            answers = (each.result() for each in asked if each.done() and not each.cancelled() and not each.exception())
            return {where: end for answer in answers for where, end in answer.items()}
        finally:
            for each in asked:
                each.cancel()

    async def commit(self, offsets: Offsets) -> bool:
        """As `GroupMembership.commit`."""
        return await self.member.commit(offsets)

    async def alert_ends(self) -> Mapping[int, int]:
        """The offset after the last alert that had been written when this was called, by partition. Raises SlaError
        while the partitions are not known."""
        ends = await self.ends(self._alert_partitions())
        return {where.partition: offset for where, offset in ends.items()}

    async def has_begun(self) -> bool:
        """Whether the group has an offset in every partition of the alerts, those of other members included. Raises
        SlaError while the partitions are not known."""
        wanted = self._alert_partitions()
        return len(await committed_with_texts(self.consumer, wanted)) == len(wanted)

    def _alert_partitions(self) -> Sequence[TopicPartition]:
        topic = self.topic(ALERTS)
        # The other consumer asks for the metadata of topics only once it reads them.
        partitions = None if self.consumer is None else self.consumer.partitions_for_topic(topic)
        if not partitions:
            raise SlaError(f"the partitions of {topic} are not known yet")
        return [TopicPartition(topic, each) for each in partitions]

    def shares_partitions(self) -> bool:
        """Whether other members of the group have partitions."""
        topic = self.topic(ALERTS)
        mine = {each.partition for each in self.consumer.assignment() if each.topic == topic}
        return mine != (self.consumer.partitions_for_topic(topic) or mine)

    async def stored_pages(
        self, partitions: Sequence[int], destination: str, on_row: OnRow, wants: Wants
    ) -> Mapping[int, tuple[StoredPages, int]]:
        """The pages of a destination, by partition, with the offset up to which rows were read. `on_row` is called with
        the partition, key and value of its rows, and of those of other destinations that it `wants`."""
        if not partitions:
            return {}
        topic = self.topic(TOPIC)
        claims = self.member.claims
        return await self._loading.read(self._metadata_consumer, topic, partitions, destination, on_row, wants, claims)

    async def start_new_partitions(self, partitions: Iterable[TopicPartition], *, earliest: bool) -> Committed:
        """Where the group has no committed offset it starts at the end, or with `earliest` at the beginning. That is
        committed at once, so that a crash before the first alert skips none. Kafka deletes the offsets of a topic that
        is deleted: where the group had one before, or has one of the other topic, the topic was made anew, and is read
        from its beginning. Returns the texts of what was committed, and the ids that the topics have."""
        wanted = list(partitions)
        committed = await committed_with_texts(self.consumer, wanted)
        # Asked after that: what was committed later is of a topic that is as new, or newer.
        topics = {where.topic for where in wanted} | {self.topic(TOPIC)}
        ids = await self._ids(topics, needed=any(text for _, text in committed.values()))
        self.member.load_begins(committed, ids.get(self.topic(TOPIC), b""))
        offsets = {where: offset for where, (offset, _) in committed.items()}
        found = Committed({where: text for where, (_, text) in committed.items()}, ids, offsets)
        fresh = [where for where in wanted if where not in committed]
        if not fresh:
            self._begun.update(wanted)
            return found
        has_offset = {where.partition for where in committed}
        anew = [where for where in fresh if where in self._begun or where.partition in has_offset]
        if anew:
            names = sorted(f"{where.topic}/{where.partition}" for where in anew)
            self._log.warning("offsets_deleted", group=self._group, partitions=names, consequence="read from the start")
        from_start = fresh if earliest else anew
        first = dict(await self.consumer.beginning_offsets(from_start)) if from_start else {}
        if others := [where for where in fresh if where not in first]:
            first |= await self.consumer.end_offsets(others)
            names = sorted(f"{where.topic}/{where.partition}" for where in others)
            self._log.info("begins_with_new_alerts", group=self._group, partitions=names)
        for where, offset in first.items():
            self.consumer.seek(where, offset)
        await self.member.begin_at(first)
        self._begun.update(wanted)
        return found

    async def _ids(self, topics: Iterable[str], *, needed: bool) -> Mapping[str, bytes]:
        return {} if self._topic_ids is None else await self._topic_ids.ask(topics, needed=needed)

    async def _check_topics(self) -> None:
        existing = await self._metadata_consumer.topics()
        for suffix in (ALERTS, INCIDENTS, TOPIC):
            if self.topic(suffix) not in existing:
                raise no_topic(self.topic(suffix))

    def deleted_topic(self) -> str | None:
        """A topic of which Kafka knows no partition: it was deleted after this group was joined."""
        names = (self.topic(suffix) for suffix in (ALERTS, INCIDENTS, TOPIC))
        return next((name for name in names if not self.consumer.partitions_for_topic(name)), None)

    def _new_consumer(self, **options: object) -> Any:
        return new_consumer(self._bootstrap, self._security, **options)


def no_topic(name: str) -> SlaError:
    return SlaError(f"there is no topic {name}; `sla topics apply` creates the topics")


def new_consumer(brokers: Iterable[str], security: Mapping[str, object], **options: object) -> Any:
    """A consumer of the notifier."""
    return aiokafka_clients.consumer(
        brokers,
        security,
        **{
            "client_id": "sla-notify",
            "auto_offset_reset": "earliest",
            "request_timeout_ms": _REQUEST_MS,
            "max_partition_fetch_bytes": _FETCH_BYTES,
            "fetch_max_wait_ms": _FETCH_WAIT_MS,
            **options,
        },
    )


def _abandon(sent: Iterable[asyncio.Future[Any]]) -> None:
    """Nobody waits for these rows any more."""
    for each in sent:
        if not each.cancel() and not each.cancelled():
            each.exception()  # of all that fail together asyncio would tell
