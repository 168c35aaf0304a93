"""Reads topics: all partitions, without a consumer group; as a rule committed records only."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Any, NamedTuple, Self, cast

from aiokafka.structs import TopicPartition

from connect.kafka_io.connection import REQUEST_TIMEOUT_MS, BrokerProblem, explained, partitions_of
from connect.kafka_io.reachability import Reachability
from streams.kafka import aiokafka_clients
from streams.kafka.partitioner import partition_of

_FETCH_BYTES = 4 * 1024 * 1024
_FETCH_WAIT_MS = 200
#: Records returned at once; also how long Ctrl-C may have to wait.
_MOST = 5_000
_POLL_S = 0.5
#: Where more is to be read and nothing comes for so long, reading ends.
SILENCE_LIMIT_S = 30


#: Called with how many records there are at most; what it enters is called once for each that is read.
Watch = Callable[[int], AbstractContextManager[Callable[[], None]]]


def unwatched(_: int) -> AbstractContextManager[Callable[[], None]]:
    """Shows nothing."""
    return nullcontext(lambda: None)


class TopicRecord(NamedTuple):
    """One record; `arrival` is its timestamp in microseconds UTC, which on input topics is the broker's."""

    topic: str
    partition: int
    offset: int
    arrival: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


def sent_nothing(bootstrap: Iterable[str]) -> BrokerProblem:
    """The problem of a broker that stops sending."""
    return BrokerProblem(
        f"Kafka at {', '.join(bootstrap)} has sent nothing for {SILENCE_LIMIT_S} s, but there is more to read: is it "
        "still running?"
    )


def in_order(record: TopicRecord) -> tuple[int, str, int, int]:
    """The order across partitions: arrival, then coordinates."""
    return record.arrival, record.topic, record.partition, record.offset


class TopicReader:
    """Reads topics; a context manager. Every method raises BrokerProblem. Without `committed` it also reads what open
    and aborted transactions have written; with `keys` only the partitions that these lie in."""

    def __init__(
        self,
        bootstrap: Iterable[str],
        topics: Iterable[str],
        security: Mapping[str, object] | None = None,
        *,
        committed: bool = True,
        keys: Iterable[str] | None = None,
    ) -> None:
        self._keys = None if keys is None else set(keys)
        self._isolation = "read_committed" if committed else "read_uncommitted"
        self._bootstrap = list(bootstrap)
        self._topics = list(dict.fromkeys(topics))
        self._security = security or {}
        self._runner = asyncio.Runner()
        self._consumer: Any = None
        self._reachability = Reachability(self._bootstrap, self._current_ends)
        self._starts: dict[TopicPartition, int] = {}
        self._ends: dict[TopicPartition, int] = {}

    def __enter__(self) -> Self:
        try:
            self._run(self._start())
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._close()

    def from_beginning(self) -> None:
        """Read what is there first; `at_end`, `size` and `there` are then about what was there at this call."""
        self._run(self._seek(beginning=True))

    def from_last(self, count: int) -> None:
        """Read about the last `count` records of each partition; `at_end`, `size` and `there` are about those."""
        self._run(self._seek(beginning=True, last=count))

    def from_now(self) -> None:
        """Read what arrives from now on."""
        self._run(self._seek(beginning=False))

    def at(self, partition: int, offset: int, topic: str | None = None) -> TopicRecord | None:
        """The record at an offset of a partition (of the first topic by default); None when it is not there."""
        where = TopicPartition(topic or self._topics[0], partition)
        return cast("TopicRecord | None", self._run(self._read_at(where, offset)))

    def to_current_end(self) -> None:
        """Let `at_end` be about what is there now; reading goes on where it is."""
        self._run(self._move_end())

    def at_end(self) -> bool:
        """Whether everything that was there has been read."""
        reached: bool = self._run(self._is_at_end())
        return reached

    def ends(self) -> dict[int, int]:
        """The end offset of each partition of the first topic, at the last `from_…` call."""
        return {where.partition: end for where, end in self._ends.items() if where.topic == self._topics[0]}

    def starts(self) -> dict[int, int]:
        """The first offset that each partition of the first topic still has, at the last `from_beginning`."""
        return {where.partition: start for where, start in self._starts.items() if where.topic == self._topics[0]}

    def all_ends(self) -> dict[tuple[str, int], int]:
        """The end offset of each topic and partition, at the last `from_…` call."""
        return {(where.topic, where.partition): end for where, end in self._ends.items()}

    @property
    def size(self) -> int:
        """How many records there were, at most: transaction markers are counted too."""
        return sum(end - self._starts[where] for where, end in self._ends.items())

    def there(self, *, later: bool = False) -> Iterator[list[TopicRecord]]:
        """What was there at the start, and nothing `later` unless wanted, for who goes on with `poll`. Raises
        BrokerProblem when the broker stops sending."""
        empty_polls = 0
        while not self.at_end():
            found = self.poll()
            empty_polls = 0 if found else empty_polls + 1
            if empty_polls >= SILENCE_LIMIT_S / _POLL_S:
                raise sent_nothing(self._bootstrap)
            yield [each for each in found if later or self._was_there(each)]

    def _was_there(self, record: TopicRecord) -> bool:
        return record.offset < self._ends[TopicPartition(record.topic, record.partition)]

    def poll(self, timeout_s: float = _POLL_S) -> list[TopicRecord]:
        """Newly arrived records, in the order of arrival as far as it is known; empty when none arrived in time."""
        fetched = self._run(self._consumer.getmany(timeout_ms=int(timeout_s * 1000), max_records=_MOST))
        found = [
            TopicRecord(
                where.topic, where.partition, each.offset, each.timestamp * 1000, each.key, each.value, each.headers
            )
            for where, records in fetched.items()
            for each in records
        ]
        found.sort(key=in_order)
        return found

    def problem(self) -> BrokerProblem | None:
        """Why Kafka gives no answer, for who polls and gets nothing; None while it does. Waits for nothing."""
        return cast("BrokerProblem | None", self._run(self._reachability.problem()))

    def wait(self, seconds: float) -> BrokerProblem | None:
        """Let time pass without reading; then why Kafka gives no answer, as `problem` says."""
        self._run(asyncio.sleep(seconds))
        return self.problem()

    async def _start(self) -> None:
        partitions = await partitions_of(self._bootstrap, self._topics, self._security)
        self._consumer = aiokafka_clients.consumer(
            self._bootstrap,
            self._security,
            client_id="sla-read",
            group_id=None,
            isolation_level=self._isolation,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=_FETCH_BYTES,
            fetch_max_wait_ms=_FETCH_WAIT_MS,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
        )
        await self._consumer.start()
        self._consumer.assign(
            [TopicPartition(topic, each) for topic in self._topics for each in self._wanted(partitions[topic])]
        )

    def _wanted(self, partitions: list[int]) -> list[int]:
        if self._keys is None:
            return partitions
        return sorted({partition_of(key, len(partitions)) for key in self._keys})

    async def _seek(self, *, beginning: bool, last: int | None = None) -> None:
        assigned = list(self._consumer.assignment())
        self._ends = await self._consumer.end_offsets(assigned)
        self._starts = await self._consumer.beginning_offsets(assigned) if beginning else self._ends
        if last is not None:
            self._starts = {where: max(start, self._ends[where] - last) for where, start in self._starts.items()}
        for where in assigned:
            self._consumer.seek(where, self._starts[where])

    async def _read_at(self, where: TopicPartition, offset: int) -> TopicRecord | None:
        end = (await self._consumer.end_offsets([where]))[where]
        if where not in self._consumer.assignment() or not 0 <= offset < end:
            return None
        self._consumer.assign([where])
        self._consumer.seek(where, offset)
        fetched = await self._consumer.getmany(where, timeout_ms=int(SILENCE_LIMIT_S * 1000), max_records=1)
        for each in fetched.get(where, []):
            if each.offset == offset:
                topic, partition, arrival = where.topic, where.partition, each.timestamp * 1000
                return TopicRecord(topic, partition, each.offset, arrival, each.key, each.value, each.headers)
        return None

    async def _move_end(self) -> None:
        self._ends = await self._current_ends()

    async def _current_ends(self) -> dict[TopicPartition, int]:
        return cast("dict[TopicPartition, int]", await self._consumer.end_offsets(list(self._consumer.assignment())))

    async def _is_at_end(self) -> bool:
        # Positions pass commit markers and what was aborted, so they do reach the last stable offset.
        for where, end in self._ends.items():
            if await self._consumer.position(where) < end:
                return False
        return True

    def _run(self, work: Any) -> Any:
        with explained(self._bootstrap):
            return self._runner.run(work)

    def _close(self) -> None:
        with self._runner:
            if self._consumer is not None:
                self._runner.run(self._consumer.stop())


def read_topics(
    bootstrap: Iterable[str],
    topics: Iterable[str],
    security: Mapping[str, object] | None = None,
    *,
    until_end: bool = True,
    watch: Watch = unwatched,
    keys: Iterable[str] | None = None,
) -> Iterator[TopicRecord]:
    """Records of the topics from the beginning; with `until_end` up to what was there at the start, else for ever.

    Records of one partition come in its order. `security` is what aiokafka takes, `watch` shows how many are read,
    `keys` are those of `TopicReader`. Raises BrokerProblem.
    """
    with TopicReader(bootstrap, topics, security, keys=keys) as reader:
        reader.from_beginning()
        if until_end:
            with watch(reader.size) as one:
                for found in reader.there():
                    for record in found:
                        one()
                        yield record
        else:
            while True:
                yield from reader.poll()
