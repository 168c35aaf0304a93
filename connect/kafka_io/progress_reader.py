"""Reads the progress of workers from Kafka: offsets of their groups, checkpoints, watermarks and requests for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Self

from connect.kafka_io.group_offsets import GroupOffsets
from connect.kafka_io.reader import TopicReader, TopicRecord
from streams.internal_topics import internal_topic
from streams.runtime.checkpoint import CHECKPOINT_KEY, decode_checkpoint
from streams.serde.codec import decode
from streams.settings import Settings
from streams.sla.events import Rejection
from streams.time_source import TimeSource
from streams.worker_progress import (
    LONG_WAIT,
    REQUEST,
    REQUEST_TYPE,
    WATERMARK,
    BlockedInput,
    TaskProgress,
    WatermarkRequest,
    WorkerProgress,
    states,
)

INCIDENTS: Final = "incidents"
LEDGER: Final = "ledger"
#: The input topics of each agent, without prefix.
INPUTS: Final = {
    INCIDENTS: ("incident-events", internal_topic(INCIDENTS)),
    LEDGER: ("contract-events", internal_topic(LEDGER)),
}
#: A checkpoint is among the last rows of its changelog, a watermark or a request normally is.
_TAIL = 500
_WATERMARK_KEY, _REQUEST_KEY = WATERMARK.encode(), REQUEST.encode()


class ProgressRows:
    """What rows and requests say, in whatever order they are read."""

    def __init__(self) -> None:
        self.watermarks: dict[int, int] = {}
        self.requests: dict[int, WatermarkRequest] = {}
        self.reached: dict[tuple[str, int], tuple[int, int]] = {}
        """(agent, partition) → stream time of the latest checkpoint, and when it was written."""

    def add_row(self, agent: str, record: TopicRecord) -> None:
        """Take a row of an agent's changelog."""
        if record.value is None:
            return
        if record.key == CHECKPOINT_KEY:
            known = self.reached.get((agent, record.partition))
            this = (decode_checkpoint(record.value).time, record.arrival)
            self.reached[agent, record.partition] = max(this, known or this, key=lambda each: each[1])
        elif agent != INCIDENTS:
            return
        elif record.key == _WATERMARK_KEY:
            if (found := _instant_of(record)) is not None:
                partition, until = found
                self.watermarks[partition] = max(self.watermarks.get(partition, until), until)
        elif record.key is not None and record.key.partition(b"\x1f")[0] == _REQUEST_KEY:
            self.add_request(record)

    def add_request(self, record: TopicRecord) -> None:
        """Take a record of the internal topic that requests are sent to; others are ignored."""
        if record.value is not None and (found := _instant_of(record)) is not None:
            partition, until = found
            known = self.requests.get(partition)
            if known is None or known.until < until:
                self.requests[partition] = WatermarkRequest(until, record.arrival)

    def awaited(self) -> dict[int, int]:
        """The instants that ledgers wait for, by incident partition."""
        return {
            partition: request.until
            for partition, request in sorted(self.requests.items())
            if self.watermarks.get(partition, request.until - 1) < request.until
        }


class ProgressReader:
    """Reads progress as often as wanted: the first time watermarks may have to be looked for in a whole changelog,
    later only what was written since is read. A context manager; every method raises BrokerProblem."""

    def __init__(self, settings: Settings, time_source: TimeSource) -> None:
        self._settings = settings
        self._time = time_source
        self._rows = ProgressRows()
        self._groups = GroupOffsets(settings)
        self._changelogs: dict[str, TopicReader] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for reader in self._changelogs.values():
            reader.__exit__(None, None, None)
        self._groups.__exit__()

    def read(self) -> WorkerProgress:
        """The progress now."""
        unread = {agent: self._unread(agent) for agent in INPUTS}
        for agent in INPUTS:
            self._read_changelog(agent, len(unread[agent]))
        self._read_requests()
        rows, now = self._rows, self._time.now()
        inputs = {partition: counts[0] for partition, counts in unread[INCIDENTS].items()}
        tasks = tuple(
            self._task(agent, partition, counts)
            for agent, partitions in unread.items()
            for partition, counts in partitions.items()
        )
        found = states(rows.watermarks, rows.requests, inputs, now)
        return WorkerProgress(tuple(found), tasks, rows.awaited(), self._groups.members(), now)

    def blocked_inputs(self) -> list[BlockedInput]:
        """Where a transaction of a writer has been open for a minute in an input topic: the lag ends before it."""
        inputs = [self._full(topics[0]) for topics in INPUTS.values()]
        before = self._ends(inputs)
        first: dict[tuple[str, int], TopicRecord | None] = {}
        with self._reader(inputs, committed=False) as reader:
            reader.from_now()
            for (topic, partition), written in sorted(reader.all_ends().items()):
                stable = before[topic, partition]
                if written > stable:
                    first[topic, partition] = reader.at(partition, stable, topic)
        after, now = self._ends(inputs) if first else {}, self._time.now()
        return [
            BlockedInput(*where, record.offset, record.arrival)
            for where, record in first.items()
            if record is not None and record.offset == after[where] and now - record.arrival >= LONG_WAIT
        ]

    def _ends(self, topics: Iterable[str]) -> dict[tuple[str, int], int]:
        """How far each partition can be read."""
        with self._reader(topics) as reader:
            reader.from_now()
            return reader.all_ends()

    def _task(self, agent: str, partition: int, unread: tuple[int, int]) -> TaskProgress:
        reached, committed_at = self._rows.reached.get((agent, partition), (None, None))
        return TaskProgress(agent, partition, reached, committed_at, *unread)

    def _unread(self, agent: str) -> dict[int, tuple[int, int]]:
        """Partition → inputs, and records from other partitions, that no worker has applied."""
        topics = [self._full(topic) for topic in INPUTS[agent]]
        ends = self._ends(topics)
        committed = self._groups.committed(agent, ends)
        left = {where: max(end - committed[where], 0) for where, end in ends.items()}
        first, internal = topics
        return {
            partition: (left[first, partition], left[internal, partition])
            for topic, partition in left
            if topic == first
        }

    def _read_changelog(self, agent: str, partitions: int) -> None:
        reader = self._changelogs.get(agent)
        if reader is not None:
            reader.to_current_end()
            self._add_rows(agent, reader)
            return
        reader = self._reader([self._full(f"{agent}-changelog")])
        self._changelogs[agent] = reader.__enter__()
        reader.from_last(_TAIL)
        self._add_rows(agent, reader)
        if agent == INCIDENTS and len(self._rows.watermarks) < partitions:
            reader.from_beginning()
            self._add_rows(agent, reader)

    def _add_rows(self, agent: str, reader: TopicReader) -> None:
        for records in reader.there():
            for record in records:
                self._rows.add_row(agent, record)

    def _read_requests(self) -> None:
        """Requests that their partition has not read yet: a halted one never does."""
        with self._reader([self._full(internal_topic(INCIDENTS))]) as reader:
            reader.from_beginning()
            for records in reader.there():
                for record in records:
                    self._rows.add_request(record)

    def _reader(self, topics: Iterable[str], *, committed: bool = True) -> TopicReader:
        security = self._settings.aiokafka_security()
        return TopicReader(self._settings.bootstrap(), topics, security, committed=committed)

    def _full(self, topic: str) -> str:
        return f"{self._settings.topic_prefix}.{topic}"


def _instant_of(record: TopicRecord) -> tuple[int, int] | None:
    """Partition and instant of a watermark or request; None for another record."""
    decoded = decode(record.value)
    if isinstance(decoded, Rejection) or decoded[0] != REQUEST_TYPE:
        return None
    fields: Mapping[str, object] = decoded[1]
    partition, until = fields["partition"], fields["until"]
    assert isinstance(partition, int)
    assert isinstance(until, int)
    return partition, until
