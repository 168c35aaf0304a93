"""The topics of the board as a Kafka consumer reads them: committed records, every partition, no consumer group."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, NamedTuple, Self
from uuid import UUID

from aiokafka.structs import TopicPartition

from board.ingest.checkpoints import Place, TopicPartitionRange
from board.ingest.records import TOPICS, IngestRecord
from streams.errors import SlaError
from streams.kafka import aiokafka_clients
from streams.kafka.batch_reader import BatchReader, batch_reader
from streams.kafka.records import Batch, UnreadBatch
from streams.kafka.shutdown import end_consumer
from streams.kafka.topic_descriptions import TopicDescriptions
from streams.settings import Settings

_REQUEST_MS = 10_000
#: A partition's share of a fetch, and one fetch; the largest record is larger, and then fetched alone.
_PARTITION_BYTES = 512 * 1024
_FETCH_BYTES = 16 * 1024 * 1024
_FETCH_WAIT_MS = 100


class TopicsMissing(SlaError):  # noqa: N818 -- it names what is wrong
    """Kafka lacks topics that the board reads."""


class Piece(NamedTuple):
    """Records of one partition, and the offset after everything that they cover."""

    place: Place
    records: list[IngestRecord]
    end: int
    unread: list[UnreadBatch]


class TopicSource:
    """A context manager. Raises aiokafka's and kafka-python's errors, OSError, and TopicsMissing."""

    def __init__(self, kafka: Settings) -> None:
        self._prefix = kafka.topic_prefix
        self._brokers = kafka.bootstrap()
        self._security = kafka.aiokafka_security()
        self._descriptions = TopicDescriptions(self._brokers, kafka.client_security(), _REQUEST_MS)
        self._consumer: Any = None
        self._reader: BatchReader | None = None
        self._wanted: frozenset[TopicPartition] = frozenset()

    async def __aenter__(self) -> Self:
        self._consumer = aiokafka_clients.consumer(
            self._brokers,
            self._security,
            client_id="sla-board",
            group_id=None,
            isolation_level="read_committed",
            auto_offset_reset="none",
            max_partition_fetch_bytes=_PARTITION_BYTES,
            fetch_max_bytes=_FETCH_BYTES,
            fetch_max_wait_ms=_FETCH_WAIT_MS,
            request_timeout_ms=_REQUEST_MS,
        )
        try:
            await self._consumer.start()
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await self._close()

    async def ranges(self) -> dict[Place, TopicPartitionRange]:
        """What every partition holds now."""
        found = await self.topic_ids()
        places = [
            TopicPartition(self._full(topic), partition)
            for topic, (partitions, _) in found.items()
            for partition in range(partitions)
        ]
        self._consumer.assign(places)
        starts = await self._consumer.beginning_offsets(places)
        ends = await self._consumer.end_offsets(places)
        return {
            self._place(each): TopicPartitionRange(found[self._place(each)[0]][1], starts[each], ends[each])
            for each in places
        }

    async def topic_ids(self) -> dict[str, tuple[int, str]]:
        """The number of partitions and the id of each topic; the id is empty where the broker tells none."""
        names = {self._full(topic): topic for topic in TOPICS}
        found = await self._descriptions.describe(names)
        if missing := sorted(names.keys() - found.keys()):
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise TopicsMissing(
                f"Kafka at {','.join(self._brokers)} has no topic {missing[0]}{more}: `sla topics apply` creates the "
                "topics; or is SLA_TOPIC_PREFIX another?"
            )
        return {
            names[name]: (each.partitions, str(UUID(bytes=each.topic_id)) if each.topic_id else "")
            for name, each in found.items()
        }

    def seek(self, positions: Mapping[Place, int]) -> None:
        """Where to read from; nothing else is read."""
        for (topic, partition), offset in positions.items():
            self._consumer.seek(TopicPartition(self._full(topic), partition), offset)
        self._wanted = frozenset(TopicPartition(self._full(topic), partition) for topic, partition in positions)
        self._reader = batch_reader(self._consumer)
        self._reader.moved()

    async def take(self, timeout_s: float) -> list[Piece]:
        """What has arrived, each partition's in its order."""
        assert self._reader is not None
        return [self._piece(batch) for batch in await self._reader.take(self._wanted, timeout_s)]

    def ends(self) -> dict[Place, int]:
        """The ends of the partitions as far as the latest fetches told them: after the last record that is committed
        or before the first whose transaction is open."""
        found = {self._place(each): self._consumer.last_stable_offset(each) for each in self._wanted}
        return {place: end for place, end in found.items() if end is not None and end >= 0}

    def _piece(self, batch: Batch) -> Piece:
        place = self._place(TopicPartition(batch.topic, batch.partition))
        unread = [each.value for each in batch.records if isinstance(each.value, UnreadBatch)]
        records = [
            IngestRecord(*place, each.offset, each.timestamp * 1000, each.key, each.value, each.headers)
            for each in batch.records
            if not isinstance(each.value, UnreadBatch)
        ]
        return Piece(place, records, batch.end, unread)

    def _full(self, topic: str) -> str:
        return f"{self._prefix}.{topic}"

    def _place(self, where: TopicPartition) -> Place:
        return where.topic[len(self._prefix) + 1 :], where.partition

    async def _close(self) -> None:
        await self._descriptions.close()
        if self._consumer is not None:
            await end_consumer(self._consumer)
