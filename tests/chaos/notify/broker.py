"""The broker: topics with their logs and ids, and the coordinators of groups."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from random import Random  # noqa: TID251 -- seeded
from typing import Any

from aiokafka import errors as kafka
from aiokafka.structs import TopicPartition

from tests.chaos.loop import Loop

from .group import Group
from .network import Network
from .partition_log import PartitionLog, Record, Sent, Written

BASE_MS = 1_770_000_000_000


class Broker:
    """All topics have the same number of partitions. `late` says of a record whether its writer had the partition no
    more; `note` is told what happens."""

    def __init__(self, loop: Loop, random: Random, partitions: int, topics: Iterable[str]) -> None:
        self.loop = loop
        self.random = random
        self.partitions = range(partitions)
        self.net = Network(loop, random)
        self.ids: dict[str, bytes] = {}
        """Of the topics that exist."""
        self.logs: dict[TopicPartition, PartitionLog] = {}
        self.deleted: list[tuple[TopicPartition, PartitionLog]] = []
        """Logs of topics that were made anew."""
        self.groups: dict[str, Group] = {}
        self.first_wait_s = random.choice([0.0, 0.0, 3.0])
        """How long the first member of a group waits for others."""
        self.batch_bytes = random.choice([1, 1500, 16_384, 16_384])
        self.fetched = random.choice([1, 3, 50])
        """Records of a partition in an answer, at most."""
        self.late: Callable[[object, Record], bool] = lambda *_: False
        self.note: Callable[..., None] = lambda *_, **__: None
        self._topics = self._producers = 0
        for each in topics:
            self.create(each)

    # -- topics --------------------------------------------------------------------------------------------------------

    def create(self, topic: str) -> None:
        self._topics += 1
        self.ids[topic] = self._topics.to_bytes(16, "big")
        for partition in self.partitions:
            self.logs[TopicPartition(topic, partition)] = PartitionLog()
        self.note("topic_created", topic=topic)

    def make_anew(self, topic: str, after_s: float = 0.0) -> None:
        """Delete a topic, and create it again. The offsets of groups go with it."""
        del self.ids[topic]
        for partition in self.partitions:
            where = TopicPartition(topic, partition)
            self.deleted.append((where, self.logs.pop(where)))
        for group in self.groups.values():
            group.forget(topic)
        self.note("topic_deleted", topic=topic)
        if after_s:
            self.net.later(after_s, lambda: self.create(topic))
        else:
            self.create(topic)

    def logs_of(self, topic: str) -> Mapping[int, PartitionLog]:
        """By partition; of none while the topic does not exist."""
        return {where.partition: log for where, log in self.logs.items() if where.topic == topic}

    def group(self, name: str) -> Group:
        if name not in self.groups:
            self.groups[name] = Group(name, self)
        return self.groups[name]

    # -- requests ------------------------------------------------------------------------------------------------------

    def now_ms(self) -> int:
        return BASE_MS + int(self.loop.time() * 1_000)

    def new_producer(self) -> int:
        self._producers += 1
        return self._producers

    def append(self, where: TopicPartition, sent: Iterable[Sent], by: object, at_ms: int | None = None) -> int:
        """The offset of the first. Raises KafkaError."""
        log = self._log(where)
        first, now = log.end, self.now_ms() if at_ms is None else at_ms
        for each in sent:
            record = Record(*where, log.end, now, each.key, each.value, tuple(each.headers or ()))
            log.append(record)
            log.history.append(Written(self.loop.time(), by, record, self.late(by, record)))
        return first

    def produce(
        self, by: object, producer: int, batches: Mapping[TopicPartition, tuple[int, Sequence[Sent]]]
    ) -> Mapping[TopicPartition, int]:
        """The offset of each batch, which has a sequence number: a batch that is sent again is written once. Raises
        KafkaError."""
        offsets = {}
        for where, (sequence, sent) in batches.items():
            log = self._log(where)
            offset = log.known_batch(producer, sequence)
            if offset is None:
                offset = self.append(where, sent, by)
                log.remember_batch(producer, sequence, offset, len(sent))
            offsets[where] = offset
        return offsets

    def fetch(self, places: Mapping[TopicPartition, int], *, committed: bool) -> Mapping[TopicPartition, Any]:
        """What `PartitionLog.read` finds, of partitions where there is something new, or nothing at that offset."""
        found = {}
        for where, at in places.items():
            if (log := self.logs.get(where)) is not None:
                answer = log.read(at, self.fetched, committed=committed)
                if answer is None or answer[1] > at:
                    found[where] = answer
        return found

    def _log(self, where: TopicPartition) -> PartitionLog:
        if where not in self.logs:
            raise kafka.UnknownTopicOrPartitionError
        return self.logs[where]
