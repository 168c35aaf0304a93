"""An alert consumer over a fake Kafka of one partition, and the delivery of its destination: what tests share."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from aiokafka.errors import CommitFailedError, IllegalStateError
from aiokafka.structs import OffsetAndTimestamp, TopicPartition
from notify_bench import Bench, MemoryStore, destination

from connect.notify.alert_consumer import AlertConsumer
from connect.notify.destinations.kind import Destination
from connect.notify.incident_summaries import IncidentSummaries
from connect.notify.message import Message
from connect.notify.page import Page
from connect.notify.page_store import PageStore
from connect.notify.page_store_rows import Parked, StateRow, StoredPages
from connect.notify.read_positions import Committed, Offsets, ReadPositions
from connect.notify.retained_pages import RetainedPages
from connect.notify.routing.loaded import RoutingInForce
from connect.notify.routing.rules import Match, Route, Routing
from connect.notify.row_feed import RowFeed
from streams.serde.codec import Codec
from tests.chaos.notify.partition_log import Record
from tests.page_triggers import trigger
from tests.waiting import TIMEOUT_S

ALERTS, INCIDENTS, ROWS = (TopicPartition(f"sla.{each}", 0) for each in ("alerts", "incidents", "notifications"))


class OnlyMember:
    """Of a group that never changes."""

    owner = "me"

    async def claim(self, starts: Mapping[int, int], _: object) -> Mapping[int, int]:
        return starts

    async def repairs_written(self) -> None: ...


class FakeKafka:
    """One partition of each topic, by hand; a PageStore and its consumer in one."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.consumer = self
        self.member = OnlyMember()
        self.logs: dict[TopicPartition, list[Record]] = {ALERTS: [], INCIDENTS: [], ROWS: []}
        self.at: dict[TopicPartition, int] = dict.fromkeys(self.logs, 0)
        self.visible: dict[TopicPartition, int] = {}
        """How far a topic can be read; default: all that is there."""
        self.committed_at: dict[TopicPartition, int] = {}
        self.texts: dict[TopicPartition, str] = {}
        """Of what was committed."""
        self.leaderless: set[TopicPartition] = set()
        self.ids: dict[str, bytes] = {}
        """Of the topics."""
        self.first: dict[TopicPartition, int] = {}
        """The offset of the first record that is left; default: 0."""
        self.steps: list[str] = []
        self.held: set[TopicPartition] = set()
        self.refuses: Exception | None = None
        self.turns: asyncio.Semaphore | None = None
        """How often may be read; default: all the time."""
        self.unknown: str | None = None
        """A topic that was deleted."""

    def put(
        self,
        where: TopicPartition,
        value: bytes | None,
        at: int = 0,
        key: bytes | None = b"k",
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> None:
        log = self.logs[where]
        log.append(Record(where.topic, where.partition, len(log), at, key, value, headers))

    # -- of the consumer

    async def getmany(self, *, timeout_ms: int, max_records: int) -> Mapping[TopicPartition, Sequence[Record]]:
        await (asyncio.sleep(0.001) if self.turns is None else self.turns.acquire())
        found = {}
        for where, log in self.logs.items():
            if where not in self.held:
                self.at[where] = max(self.at[where], self.first.get(where, 0))
            end = min(self.visible.get(where, len(log)), self.at[where] + max_records)
            if where not in self.held and self.at[where] < end:
                found[where] = log[self.at[where] : end]
                self.at[where] = end
                max_records -= len(found[where])
                if max_records == 0:
                    break
        return found

    async def commit(self, offsets: Offsets) -> bool:
        if isinstance(self.refuses, CommitFailedError | IllegalStateError):
            return False
        if self.refuses is not None:
            raise self.refuses
        self.steps.append("commit")
        for where, each in offsets.items():
            self.committed_at[where], self.texts[where] = (each, "") if isinstance(each, int) else each
        return True

    async def position(self, where: TopicPartition) -> int:
        return self.at[where]

    async def offsets_for_times(self, times: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, Any]:
        found = {}
        for where, at in times.items():
            first = next((each for each in self.logs[where] if each.timestamp >= at), None)
            found[where] = None if first is None else OffsetAndTimestamp(first.offset, first.timestamp)
        return found

    def assignment(self) -> set[TopicPartition]:
        return set(self.logs)

    def paused(self) -> set[TopicPartition]:
        return set(self.held)

    def pause(self, *wheres: TopicPartition) -> None:
        self.held |= set(wheres)

    def resume(self, *wheres: TopicPartition) -> None:
        self.held -= set(wheres)

    def seek(self, where: TopicPartition, offset: int) -> None:
        self.at[where] = offset

    # -- of PageStore

    topic = PageStore.topic
    _prefix = "sla"

    async def write(self, partition: int, rows: Iterable[StateRow]) -> None:
        given = list(rows)
        self.steps += ["rows"] if given else []
        await self.bench.store.write(partition, given)

    def deleted_topic(self) -> str | None:
        return self.unknown

    async def known_ends(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]:
        return {where: len(self.logs[where]) for where in partitions if where not in self.leaderless}

    ends = known_ends

    async def known_starts(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]:
        return {where: self.first.get(where, 0) for where in partitions}

    async def known_end(self, where: TopicPartition) -> int | None:
        return (await self.known_ends([where])).get(where)

    async def known_first(self, where: TopicPartition, at: int) -> int | None:
        if where in self.leaderless:
            return None
        found = (await self.offsets_for_times({where: at}))[where]
        return len(self.logs[where]) if found is None else found.offset

    async def stored_pages(
        self, partitions: Sequence[int], name: str, on_row: Any, wants: Any
    ) -> Mapping[int, tuple[StoredPages, int]]:
        for each in partitions:
            for key, value in self.bench.store.log.get(each, {}).items():
                on_row(each, key, value)
        return {each: (self.bench.store.kept(each, name), len(self.logs[ROWS])) for each in partitions}

    async def start_new_partitions(self, partitions: Iterable[TopicPartition], **_: bool) -> Committed:
        self.at |= {where: 0 for where in partitions if where not in self.committed_at}
        return Committed(dict(self.texts), dict(self.ids), dict(self.committed_at))


class Desk:
    """A reader that runs."""

    def __init__(
        self,
        kind: Any = "pagerduty",
        codec: Codec | None = None,
        summaries: IncidentSummaries | None = None,
        *,
        to: Destination | None = None,
        severities: frozenset[Any] = frozenset({"P1"}),
        feed: RowFeed | None = None,
        store: MemoryStore | None = None,
        retained: RetainedPages | None = None,
    ) -> None:
        self.positions = ReadPositions()
        self.bench = Bench(to or destination(kind), store, summaries=summaries, retained=retained)
        self.kafka = FakeKafka(self.bench)
        routing = RoutingInForce(Routing({"d": self.bench.to}, (Route(Match(severity=severities), ("d",)),)))
        self.ready = 0
        self.problem: str | None = None

        def membership() -> AlertConsumer:
            return AlertConsumer(
                "d",
                routing,
                self.kafka,  # type: ignore[arg-type]
                self.bench.delivery,
                self.bench.metrics,
                self._ready,
                codec or Codec(),
                clock=self.bench.clock,
                earliest=False,
                summaries=summaries,
                feed=feed,
                retained=retained,
                positions=self.positions,
            )

        self._membership = membership
        self.consumer = membership()
        self.reading: asyncio.Task[None] | None = None

    def _ready(self, problem: str | None) -> None:
        self.ready += 1
        self.problem = problem

    async def start(self) -> None:
        self.bench.running = asyncio.create_task(self.bench.delivery.run())
        await self._join()

    async def reconnect(self) -> None:
        """The membership before has ended, by its error."""
        self.consumer = self._membership()
        await self._join()

    async def _join(self) -> None:
        self.reading = asyncio.create_task(self.consumer.run())
        await self.consumer.on_partitions_assigned(self.kafka.assignment())
        await self.consumer._loading._over.wait()

    async def until(self, condition: Any) -> None:
        async with asyncio.timeout(TIMEOUT_S):
            while not condition():
                assert self.reading is not None
                if self.reading.done():
                    self.reading.result()
                await asyncio.sleep(0.002)

    @property
    def heard(self) -> list[str]:
        return [id_ for _, _, id_ in self.bench.sender.heard]

    def unreadable(self) -> float | None:
        return self.bench.metrics.registry.get_sample_value("sla_notify_unreadable_total", {"destination": "d"})


def parked_at(at: int, id_: str, to: str = "d") -> Parked:
    page = Page("inc-1").apply(trigger("breached", id_=id_), destination("pagerduty"), 0, busy=False)
    return Parked(to, "inc-1", page.head, "HTTP 400", at)


def waiting_page(incident: str) -> Page:
    """A page of which three messages wait."""
    waiting = (
        Message(f"e{number}", "trigger", "response/1", {"id": f"e{number}", "data": {}}, number, 1, 1)
        for number in range(3)
    )
    return Page(incident, open={"response/1": 1}, pending=tuple(waiting))
