"""Reads the rows that are written while the notifier runs, once for all destinations of a process.

A destination needs few of them: operators' requests to retry its messages, and what is parked. Of a backlog there are
several rows for each alert and destination, and each destination would read those of all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import structlog
from aiokafka.structs import TopicPartition

from connect.kafka_io.cancellation import keep_running
from connect.kafka_io.connection import all_partitions
from connect.notify.failure_reports import ReportedReason, reason_of
from connect.notify.page_store_rows import TOPIC, read_key
from connect.notify.routing.recorded import PARTITION, is_recorded
from connect.notify.row_claims import owner_in
from connect.notify.row_loading import Wants, until_stalled
from streams.errors import SlaError
from streams.kafka.shutdown import end_consumer

#: Rows that are kept for a destination that takes none, and their bytes; beyond, it reads them back from Kafka.
_MOST_RETAINED, _MOST_RETAINED_BYTES = 2_000, 8 * 1024 * 1024
_RECONNECT_S = 2.0
_START_S, _ASSIGNMENT_S = 30.0, 10.0
_POLL_MS = 250
#: Rows that are looked at without a pause for other tasks of the loop.
_AT_ONCE = 500


class FedRows:
    """The rows that wait for one destination, in the order of each partition."""

    def __init__(self, destination: str, wants: Wants, owner: str = "") -> None:
        self.destination = destination
        self._owner = owner
        self.of_others: dict[int, int] = {}
        """The last offset by partition of a row of this destination that names another owner."""
        self.wants = wants
        self.overrun = False
        """Whether more came than are kept: the destination has to read its rows back."""
        self._rows: list[tuple[Any, bool]] = []
        """Each with whether it is a request to retry."""
        self._size = 0

    def look(self, record: Any) -> None:
        """At a row of this destination."""
        if record.headers and owner_in(record.headers) not in {None, self._owner}:
            self.of_others[record.partition] = record.offset

    def put(self, record: Any, *, request: bool) -> None:
        if self.overrun:
            return
        self._size += len(record.value or b"")
        if len(self._rows) >= _MOST_RETAINED or self._size > _MOST_RETAINED_BYTES:
            self.clear()
            self.overrun = True
        else:
            self._rows.append((record, request))

    def take(self, most_requests: int) -> list[Any]:
        """Rows of parked messages, and at most so many requests to retry; the others stay."""
        taken: list[Any] = []
        left: list[tuple[Any, bool]] = []
        for record, request in self._rows:
            if request and most_requests <= 0:
                left.append((record, request))
                continue
            most_requests -= request
            taken.append(record)
        self._rows, self._size = left, sum(len(record.value or b"") for record, _ in left)
        return taken

    def clear(self) -> None:
        self._rows, self._size, self.overrun = [], 0, False


class RowFeed:
    """Reads the rows of all partitions until it is cancelled. `connect` makes a consumer without a group."""

    def __init__(
        self,
        prefix: str,
        connect: Callable[[], Any],
        on_routes: Callable[[bytes, bytes | None], None] = lambda *_: None,
        on_routes_read: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_routes` is called with the rows of routes, also with those of before; `on_routes_read` once, after those.
        Nobody gets rows before that."""
        self._on_routes = on_routes
        self._on_routes_read = on_routes_read
        self._topic = f"{prefix}.{TOPIC}"
        self._connect = connect
        self._fed: dict[str, FedRows] = {}
        self._at: dict[int, int] = {}
        """Where to go on reading, by partition: kept over failures, so that no row is left out."""
        self._from_start = False
        self._started = asyncio.Event()
        self._reported = ReportedReason()
        self._reason = ""
        self.problem: str | None = None
        """Why rows are not read: requests to retry wait, and routes of other notifiers are not learned."""
        self._routes_at: tuple[int, int] | None = None
        """How far routes are read, and how far they will be."""
        self._log = structlog.get_logger("connect.notify")

    async def open(self, destination: str, wants: Wants, owner: str = "") -> FedRows:
        """From now on keep the rows of this destination, whose own rows name the `owner`, and of others that it
        `wants`. Whoever reads back what has
        been written before reads what there is afterwards, so that nothing is left out in between. Raises SlaError
        while Kafka does not say where the rows end, or the routes among them are not known."""
        try:
            async with asyncio.timeout(_START_S):
                await self._started.wait()
        except TimeoutError:
            raise SlaError(self._why_not_started()) from None
        fed = self._fed[destination] = FedRows(destination, wants, owner)
        return fed

    def _why_not_started(self) -> str:
        reason = f": {self._reason}" if self._reason else ""
        if self._routes_at is None:
            return f"Kafka does not say where the rows of {self._topic} end{reason}"
        at, end = self._routes_at
        return f"routes are read from {self._topic}/{PARTITION} first, at {at} of {end}{reason}"

    def close(self, fed: FedRows) -> None:
        if self._fed.get(fed.destination) is fed:
            del self._fed[fed.destination]

    def made_anew(self) -> None:
        """The topic was deleted and made anew: its rows are read from the first one."""
        self._from_start = True

    async def run(self) -> None:
        await keep_running(self._read, self._unavailable, _RECONNECT_S)

    def _unavailable(self, error: Exception | asyncio.CancelledError) -> None:
        reason = self._reason = reason_of(error)
        self.problem = f"rows of {self._topic} are not read: {reason}"
        if self._reported.is_new(reason):
            self._log.warning(
                "rows_unavailable",
                reason=reason,
                consequence="retries wait" if self._started.is_set() else "nothing is delivered",
            )

    async def _read(self) -> None:
        consumer = self._connect()
        try:
            await consumer.start()
            if self._topic not in await consumer.topics():
                raise SlaError(f"there is no topic {self._topic}; `sla topics apply` creates the topics")
            places = await all_partitions(consumer, self._topic, _ASSIGNMENT_S)
            ends = await consumer.end_offsets(places)
            for where in places:
                consumer.seek(where, self._at.setdefault(where.partition, ends[where]))
            if not self._started.is_set():
                where = TopicPartition(self._topic, PARTITION)
                await self._read_routes(consumer, where, min(self._at[PARTITION], ends[where]))
                self._on_routes_read()
                self._started.set()
                self._routes_at = None
            while True:
                found = await consumer.getmany(timeout_ms=_POLL_MS)
                self.problem, self._reason = None, ""
                self._reported.over()
                if self._from_start:  # what was fetched may be of the topic before
                    self._from_start, found = False, {}
                    self._at = {where.partition: 0 for where in places}
                    for where in places:
                        consumer.seek(where, 0)
                for where, records in found.items():
                    await self.put(records)
                    self._at[where.partition] = records[-1].offset + 1
        finally:
            await end_consumer(consumer)

    async def _read_routes(self, consumer: Any, where: TopicPartition, end: int) -> None:
        """Those that were recorded so far, up to where rows are read from."""

        place = f"{where.topic}/{where.partition}"
        async with until_stalled(place, lambda: ", where routes are recorded") as arrived:
            await consumer.seek_to_beginning(where)
            while (at := await consumer.position(where)) < end:
                if (at, end) != self._routes_at:
                    self._routes_at = at, end
                    arrived()
                for record in (await consumer.getmany(where, timeout_ms=_POLL_MS)).get(where, ()):
                    if is_recorded(record.key) and record.offset < end:
                        self._on_routes(record.key, record.value)
        consumer.seek(where, self._at[where.partition])

    async def put(self, records: Iterable[Any]) -> None:
        """Rows of one partition in their order, for whom they concern."""
        for number, record in enumerate(records, 1):
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)
            if self._from_start:  # the others are of the topic before: its routes would count as the latest
                return
            if is_recorded(record.key):
                self._on_routes(record.key, record.value)
                continue
            found = read_key(record.key)
            if found is None:
                continue
            if (fed := self._fed.get(found.destination)) is not None:
                fed.look(record)
            if found.kind not in {"parked", "retry"}:
                continue
            request = found.kind == "retry" and record.value is not None
            if fed is not None:
                fed.put(record, request=request)
                continue
            for each in self._fed.values():
                if each.wants(found.destination):
                    each.put(record, request=request)
