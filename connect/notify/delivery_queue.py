"""The messages of one destination: which is tried when, several at once, in order within each incident."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

import structlog

from connect.notify.destinations.http_sender import Delivered, Failed, Final, Outcome, Sender
from connect.notify.metrics import Metrics
from connect.notify.page import Message, Page
from connect.notify.page_store_rows import Parked, Row, changes, parked_row, retried_row
from connect.notify.retry_policy import LONGEST_RETRY_AFTER, Breaker, next_try
from connect.notify.routing.rules import Destination, Kind, Language
from connect.notify.triggers import PageTrigger
from streams.sla.instants import SECOND
from streams.time_source import TimeSource

#: Messages on their way at once. Slack takes one a second.
_AT_ONCE: Mapping[Kind, int] = {"pagerduty": 4, "slack": 1, "webhook": 8}
_SPACING: Mapping[Kind, int] = {"pagerduty": 0, "slack": SECOND, "webhook": 0}


def cancelled_by_us() -> bool:
    """Whether this task is to end. aiokafka lets cancellations of its own tasks out to whoever waits for them."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class Where(NamedTuple):
    """An incident's page by where its alerts lie."""

    partition: int
    incident: str


class Store(Protocol):
    """Keeps rows."""

    async def write(self, partition: int, rows: Iterable[Row]) -> None:
        """Returns when all replicas have them. Rows are kept in the order of the calls."""
        ...


class Delivery:
    """What waits for one destination, and how it goes out. `run` delivers until it is cancelled; it ends with the
    error when rows can't be kept."""

    def __init__(
        self, destination: Destination, sender: Sender, store: Store, clock: TimeSource, metrics: Metrics
    ) -> None:
        self._destination = destination
        self._sender = sender
        self._store = store
        self._clock = clock
        self._metrics = metrics
        self._pages: dict[Where, Page] = {}
        self._queue: list[tuple[int, int, Where]] = []
        self._busy: dict[Where, asyncio.Task[None]] = {}
        self._unkept: set[Where] = set()
        """Pages whose latest rows are not written yet: nothing of them begins, or its end would lie before them."""
        self._not_before = 0
        self._breaker = Breaker()
        self._wake = asyncio.Event()
        self._held = True
        self._failure: Exception | None = None
        self.pending = 0
        self.disabled: str | None = None
        """Why nothing more is sent: the destination said that it is gone."""
        self._log = structlog.get_logger("connect.notify").bind(destination=destination.name)

    # -- what waits ----------------------------------------------------------------------------------------------------

    def load(self, partition: int, pages: Iterable[Page]) -> None:
        """Take over what was kept of a partition."""
        for page in pages:
            self._put(Where(partition, page.incident), page)

    def take(self, partition: int, notice: PageTrigger, language: Language | None = None) -> list[Row]:
        """An alert that goes here, in the language of its route, or the end of a page; the rows to be written, then
        `kept` to be called, and then its offset to be committed."""
        where = Where(partition, notice.incident)
        before = self._pages.get(where)
        page = (before or Page(where.incident)).take(
            notice, self._destination, self._clock.now(), busy=where in self._busy, language=language
        )
        return self._given(where, before, page)

    def retry(self, partition: int, incident: str, message: Message) -> list[Row]:
        """A parked message is to be tried again; the rows to be written, then `kept` to be called."""
        where = Where(partition, incident)
        before = self._pages.get(where)
        page = (before or Page(incident)).again(message, self._clock.now())
        return [*self._given(where, before, page), retried_row(self._destination.name, message)]

    def kept(self) -> None:
        """The rows of what was taken are written: it may go out."""
        for where in self._unkept:
            page = self._pages.get(where)
            if page is not None and page.pending and where not in self._busy:
                self._queued(where, page)
        self._unkept.clear()

    async def forget(self, patience_s: float) -> None:
        """Let what is on its way end, for so long; then hold nothing, and send nothing until `release`."""
        self._held = True
        if self._busy:
            await asyncio.wait(self._busy.values(), timeout=patience_s)
        for task in list(self._busy.values()):
            task.cancel()
        await asyncio.gather(*self._busy.values(), return_exceptions=True)
        self._busy.clear()
        self._unkept.clear()
        self._pages.clear()
        self._queue.clear()
        self.pending = 0

    def release(self) -> None:
        """Begin to send."""
        self._held = False
        self._wake.set()

    @property
    def works(self) -> bool:
        """Whether the destination takes messages, as far as is known."""
        return self.disabled is None and not self._breaker.open

    @property
    def open_pages(self) -> int:
        return len(self._pages)

    def _given(self, where: Where, before: Page | None, page: Page) -> list[Row]:
        self._unkept.add(where)
        return self._changed(where, before, page)

    def _changed(self, where: Where, before: Page | None, page: Page) -> list[Row]:
        rows = list(changes(self._destination.name, before, page))
        self._put(where, page)
        return rows

    def _put(self, where: Where, page: Page) -> None:
        before = self._pages.get(where)
        self.pending += len(page.pending) - (len(before.pending) if before is not None else 0)
        if page.over:
            self._pages.pop(where, None)
            return
        self._pages[where] = page
        if page.pending and where not in self._busy and where not in self._unkept:
            self._queued(where, page)

    def _queued(self, where: Where, page: Page) -> None:
        """What was queued of the page before is passed over in its turn, or dropped when there is much of it."""
        if len(self._queue) > 4 * self.pending + 100:
            valid = {
                (head.due, head.seq, each)
                for each, page in self._pages.items()
                if page.pending
                for head in page.pending[:1]
            }
            self._queue = [entry for entry in self._queue if entry in valid]
            heapq.heapify(self._queue)
        heapq.heappush(self._queue, (page.head.due, page.head.seq, where))
        self._wake.set()

    # -- how it goes out -----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        while True:
            self._wake.clear()
            if self._failure is not None:
                raise self._failure
            await self._clock.wait(self._wake, self._start_due())

    def _start_due(self) -> int | None:
        """Send what may be sent now; when the next may, if that is known."""
        while self._queue and not self._held and self.disabled is None:
            if len(self._busy) >= (1 if self._breaker.open else _AT_ONCE[self._destination.kind]):
                return None
            due, seq, where = self._queue[0]
            page = self._pages.get(where)
            if (
                page is None
                or not page.pending
                or where in self._busy
                or where in self._unkept
                or (page.head.due, page.head.seq) != (due, seq)
            ):
                heapq.heappop(self._queue)
                continue
            now = self._clock.now()
            if (at := max(due, self._not_before)) > now:
                return at
            heapq.heappop(self._queue)
            self._not_before = max(self._not_before, now + _SPACING[self._destination.kind])
            self._busy[where] = asyncio.create_task(self._deliver(where, page.head))
        return None

    async def _deliver(self, where: Where, message: Message) -> None:
        try:
            outcome = await self._sender.send(where.incident, message)
            rows = self._judged(where, message, outcome)
            await self._store.write(where.partition, rows)
        except asyncio.CancelledError:
            if cancelled_by_us():
                raise
            self._failure = ConnectionError("a client of Kafka gave up")
        except Exception as error:
            self._failure = error
        finally:
            if self._busy.get(where) is asyncio.current_task():
                del self._busy[where]
                page = self._pages.get(where)
                if page is not None and page.pending:
                    self._queued(where, page)
            self._wake.set()

    def _judged(self, where: Where, message: Message, outcome: Outcome) -> list[Row]:
        """What a try leads to. The page's first message is still this one."""
        before, now, name = self._pages[where], self._clock.now(), self._destination.name
        match outcome:
            case Delivered():
                self._worked()
                self._metrics.tries.labels(name, "delivered").inc()
                self._metrics.delivered_seconds.labels(name).observe(max(now - message.since, 0) / SECOND)
                return self._changed(where, before, before.said())
            case Failed(reason, asked, refusing):
                self._metrics.tries.labels(name, "failed").inc()
                self._failed(reason, asked, now, refusing=refusing)
                due = next_try(self._destination, message, now, asked)
                if due is not None:
                    return self._changed(where, before, before.tried(due))
                return self._parked(where, before, message, f"given up: {reason}", now)
            case Final(reason, gone):
                self._metrics.tries.labels(name, "refused").inc()
                if gone:
                    self.disabled = reason
                    self._log.error("it is gone; nothing more is sent there until a restart", reason=reason)
                else:
                    self._worked()
                return self._parked(where, before, message, reason, now)

    def _parked(self, where: Where, before: Page, message: Message, reason: str, now: int) -> list[Row]:
        name = self._destination.name
        self._metrics.parked.labels(name).inc()
        self._log.error(
            "a message is parked", incident=where.incident, event_id=message.event["id"], type=message.event["type"],
            reason=reason, tries=message.tries + 1,
        )  # fmt: skip
        parked = Parked(name, where.incident, message._replace(tries=message.tries + 1), reason, now)
        return [parked_row(parked), *self._changed(where, before, before.said())]

    def _failed(self, reason: str, asked: int | None, now: int, *, refusing: bool) -> None:
        was_open = self._breaker.open
        until = now + SECOND if refusing else self._breaker.failed(now)
        if asked is not None:
            until = max(until, now + min(asked, LONGEST_RETRY_AFTER))
        self._not_before = max(self._not_before, until)
        if self._breaker.open and not was_open:
            self._log.warning("it fails; one message at a time probes it from now on", reason=reason)
        elif self._breaker.failures == 1:
            self._log.warning("a message was not taken; it is tried again", reason=reason)

    def _worked(self) -> None:
        if self._breaker.open:
            self._log.info("it takes messages again", waiting=self.pending)
        self._breaker.worked()
