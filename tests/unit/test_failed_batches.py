"""A consumer of kafka-python that meets a batch it can't read says so at each poll, and reads the other partitions."""

from __future__ import annotations

from collections import deque
from types import SimpleNamespace
from typing import Any

from kafka import TopicPartition
from kafka.consumer.fetcher import Fetcher
from kafka.consumer.subscription_state import SubscriptionState
from kafka.errors import CorruptRecordError
from kafka.record.memory_records import MemoryRecords
from kafka.structs import OffsetAndMetadata
from test_malformed_batches import batch, record

from streams.kafka.patches import KAFKA_PYTHON

DAMAGED, WHOLE = TopicPartition("sla.alerts", 0), TopicPartition("sla.alerts", 1)


class Fetched(Fetcher.PartitionRecords):  # type: ignore[misc]
    """Notices a poll that asks it for records without end."""

    asked = 0

    def take(self, n: int | None = None) -> Any:
        self.asked += 1
        assert self.asked < 10, "the poll does not return"
        return super().take(n)


class Consumer:
    """kafka-python's fetcher without its connections: brokers have `stored`."""

    def __init__(self, stored: dict[TopicPartition, bytes]) -> None:
        self._stored = stored
        self._assigned = SubscriptionState()
        self._assigned.assign_from_user(list(stored))
        for each in stored:
            self._assigned.seek(each, OffsetAndMetadata(0, "", -1))
        self._fetcher: Any = Fetcher.__new__(Fetcher)
        vars(self._fetcher).update(
            _subscriptions=self._assigned,
            _next_in_line_exception_metadata=None,
            _next_partition_records=None,
            _paused_completed_fetches={},
            _paused_partition_records={},
            _completed_fetches=deque(),
            _sensors=None,
            _parse_fetched_data=lambda each: Fetched(
                each.fetched_offset, each.topic_partition, MemoryRecords(stored[each.topic_partition])
            ),
        )

    def brokers_answer(self) -> None:
        """Each partition is fetched from its position on."""
        for tp in self._stored:
            at = self._assigned.assignment[tp].position.offset
            self._fetcher._completed_fetches.append(SimpleNamespace(topic_partition=tp, fetched_offset=at))

    def poll(self) -> list[tuple[int, bytes]]:
        """Partition and value of each record."""
        found, _ = self._fetcher.fetched_records(100)
        return [(tp.partition, each.value) for tp, records in found.items() for each in records]


def damaged(stored: bytes) -> bytes:
    """With another last byte, as after a fault of a broker's disk."""
    return stored[:-1] + bytes([stored[-1] ^ 1])


def test_a_batch_with_a_wrong_checksum_raises_at_each_poll_and_hides_no_other_partition() -> None:
    assert KAFKA_PYTHON.applied("failed_batches")
    first, second = batch(record(0, b"good")), batch(record(0, b"bad"), base=1)
    consumer = Consumer({DAMAGED: first + damaged(second), WHOLE: batch(record(0, b"other"))})
    consumer.brokers_answer()
    read, raised = [], 0
    for _ in range(12):
        try:
            read += consumer.poll()
        except CorruptRecordError:
            raised += 1
            consumer.brokers_answer()
    assert sorted(set(read)) == [(0, b"good"), (1, b"other")]
    assert raised > 3
