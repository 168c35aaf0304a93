"""The messages of one destination: several requests at once, in order within each incident."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Protocol

import structlog

from connect.notify.destination_health import DestinationHealth
from connect.notify.destinations.answers import Delivered, Failed, Outcome, Undeliverable
from connect.notify.destinations.http_sender import Sender
from connect.notify.destinations.kind import Destination
from connect.notify.digest import can_be_folded, end_of, fold
from connect.notify.digest_schedule import DigestSchedule
from connect.notify.message import Message
from connect.notify.metrics import NotifyMetrics
from connect.notify.page import Page
from connect.notify.page_store_rows import Parked, StateRow, changes, parked_row, retried_row
from connect.notify.pending_pages import PageKey, PendingPages
from connect.notify.retry_policy import next_try
from connect.notify.triggers import PageTrigger
from streams.i18n.catalogues import Language
from streams.sla.instants import SECOND
from streams.time_source import TimeSource
from streams.topics import DEFAULT_PREFIX

#: In place of an incident, whose id has no control characters.
_FOLDING = "\x1fdigest"


def cancelled_by_us() -> bool:
    """Whether this task is being cancelled. aiokafka raises the CancelledError of its own tasks to their awaiters
    too."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class Store(Protocol):
    """Persists rows."""

    async def write(self, partition: int, rows: Iterable[StateRow]) -> None:
        """Returns when all replicas have the rows. Rows are stored in the order of the calls."""
        ...


class DeliveryQueue:
    """The messages that wait for one destination. `run` delivers until it is cancelled; it raises the error when rows
    can't be written."""

    def __init__(
        self,
        destination: Destination,
        sender: Sender,
        store: Store,
        clock: TimeSource,
        metrics: NotifyMetrics,
        deployment: str = DEFAULT_PREFIX,
    ) -> None:
        self._deployment = deployment
        self._destination = destination
        self._sender = sender
        self._store = store
        self._clock = clock
        self._metrics = metrics
        self._pages = PendingPages()
        self._sending: dict[PageKey, asyncio.Task[None]] = {}
        self._unwritten: set[PageKey] = set()
        """Pages whose latest rows are not written yet. Their messages are not sent, or the row that ends a message
        could precede the row that says that it waits."""
        self._digests = DigestSchedule(destination.pages_per_minute)
        self._folding: set[PageKey] = set()
        """Pages whose rows with their digest are being written."""
        self.health = DestinationHealth(destination.name)
        self._wake = asyncio.Event()
        self._suspended = True
        self._failure: Exception | None = None
        self._log = structlog.get_logger("connect.notify").bind(destination=destination.name)

    # -- state ---------------------------------------------------------------------------------------------------------

    @property
    def pending(self) -> int:
        """Messages that wait."""
        return self._pages.messages

    @property
    def open_pages(self) -> int:
        return len(self._pages)

    def load(self, partition: int, pages: Iterable[Page]) -> None:
        """Take over the stored pages of a partition."""
        for page in pages:
            self._put(PageKey(partition, page.incident), page)

    def apply(self, partition: int, trigger: PageTrigger, language: Language | None = None) -> list[StateRow]:
        """Apply an alert that is routed here, in the language of its route, or the end of a page. Returns the rows to
        be written; then call `rows_written`, and then commit the offset."""
        key = PageKey(partition, trigger.incident)
        before = self._pages.get(key)
        page = (before or Page(key.incident)).apply(
            trigger,
            self._destination,
            self._clock.now(),
            busy=key in self._sending,
            language=language,
            deployment=self._deployment,
        )
        ended = before.digest if before is not None and page.digest is None else None
        if ended is not None and self._digests.is_last(ended):
            page = end_of(ended, page, trigger.event, self._clock.now())
        return self._applied(key, before, page)

    def retry(self, partition: int, incident: str, message: Message) -> list[StateRow]:
        """Queue a parked message again. Returns the rows to be written; then call `rows_written`."""
        key = PageKey(partition, incident)
        before = self._pages.get(key)
        page = (before or Page(incident)).requeued(message, self._clock.now())
        return [*self._applied(key, before, page), retried_row(self._destination.name, message)]

    def rows_written(self) -> None:
        """The rows of everything applied so far are written: its messages may be sent."""
        for key in self._unwritten:
            if key not in self._sending and self._pages.enqueue(key):
                self._wake.set()
        self._unwritten.clear()

    async def suspend(self, timeout_s: float) -> None:
        """Let requests in flight end, for so long; then forget all pages, and send nothing until `resume`."""
        self._suspended = True
        if self._sending:
            await asyncio.wait(self._sending.values(), timeout=timeout_s)
        for task in list(self._sending.values()):
            task.cancel()
        await asyncio.gather(*self._sending.values(), return_exceptions=True)
        self._sending.clear()
        self._unwritten.clear()
        self._pages.clear()
        self._digests.clear()
        self._folding.clear()

    def resume(self) -> None:
        """Begin to send."""
        self._suspended = False
        self._wake.set()

    def _applied(self, key: PageKey, before: Page | None, page: Page) -> list[StateRow]:
        self._unwritten.add(key)
        return self._replace(key, before, page)

    def _replace(self, key: PageKey, before: Page | None, page: Page) -> list[StateRow]:
        rows = list(changes(self._destination.name, before, page))
        self._put(key, page)
        return rows

    def _put(self, key: PageKey, page: Page) -> None:
        self._digests.replaced(self._pages.get(key), page)
        self._pages.put(key, page)
        if not self._blocked(key) and self._pages.enqueue(key):
            self._wake.set()

    def _blocked(self, key: PageKey) -> bool:
        return key in self._sending or key in self._unwritten or key in self._folding

    # -- delivery ------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        while True:
            self._wake.clear()
            if self._failure is not None:
                raise self._failure
            await self._clock.wait(self._wake, self._send_due())

    def _send_due(self) -> int | None:
        """Start every request that may start now; the instant of the next one, if that is known."""
        kind = self._destination.kind
        while not self._suspended and self.health.disabled is None:
            if len(self._sending) >= (1 if self.health.probing else kind.concurrency):
                return None
            now = self._clock.now()
            for partition, waiting in self._digests.take_due(now):
                self._sending[PageKey(partition, _FOLDING)] = asyncio.create_task(self._fold(partition, waiting))
            first = self._pages.first_due(self._blocked)
            if first is None:
                return self._digests.next_due
            due, key = first
            if (at := max(due, self.health.not_before)) > now:
                return at if self._digests.next_due is None else min(at, self._digests.next_due)
            self._pages.pop()
            page = self._pages.get(key)
            assert page is not None
            if can_be_folded(page) and self._digests.must_wait(key, now):
                continue
            self.health.sent(now, kind.min_interval)
            self._sending[key] = asyncio.create_task(self._deliver(key, page.head))
        return None

    async def _fold(self, partition: int, keys: set[PageKey]) -> None:
        """Send one digest for these pages; a single one is sent alone."""
        try:
            pages = {key: page for key in sorted(keys) if (page := self._pages.get(key)) is not None}
            folded = {key: page for key, page in pages.items() if can_be_folded(page) and not self._blocked(key)}
            if len(folded) > 1:
                digest = fold(list(folded.values()), self._clock.now(), self._deployment)
                rows: list[StateRow] = []
                for (key, before), page in zip(folded.items(), digest.pages, strict=True):
                    self._folding.add(key)
                    rows += changes(self._destination.name, before, page)
                    self._put(key, page)
                self._metrics.folded.labels(self._destination.name).inc(digest.alerts)
                self._log.warning("alerts_folded", alerts=digest.alerts, incidents=len(folded), partition=partition)
                await self._store.write(partition, rows)
                self._folding.difference_update(folded)
            for key in folded if len(folded) == 1 else ():
                self._digests.send_alone(key)
            for key in keys:
                if not self._blocked(key):
                    self._pages.enqueue(key)
        except asyncio.CancelledError:
            if cancelled_by_us():
                raise
            self._failure = ConnectionError("a client of Kafka gave up")
        except Exception as error:
            self._failure = error
        finally:
            if self._sending.get(PageKey(partition, _FOLDING)) is asyncio.current_task():
                del self._sending[PageKey(partition, _FOLDING)]
            self._wake.set()

    async def _deliver(self, key: PageKey, message: Message) -> None:
        try:
            outcome = await self._sender.send(key.incident, message)
            rows = self._apply_outcome(key, message, outcome)
            await self._store.write(key.partition, rows)
        except asyncio.CancelledError:
            if cancelled_by_us():
                raise
            self._failure = ConnectionError("a client of Kafka gave up")
        except Exception as error:
            self._failure = error
        finally:
            if self._sending.get(key) is asyncio.current_task():
                del self._sending[key]
                if key not in self._unwritten:
                    self._pages.enqueue(key)
            self._wake.set()

    def _apply_outcome(self, key: PageKey, message: Message, outcome: Outcome) -> list[StateRow]:
        """The page's first message is still this one. Returns the rows to be written."""
        before, now, name = self._pages.get(key), self._clock.now(), self._destination.name
        assert before is not None
        match outcome:
            case Delivered():
                self.health.succeeded(self.pending)
                self._metrics.tries.labels(name, "delivered").inc()
                self._metrics.delivered_seconds.labels(name).observe(max(now - message.since, 0) / SECOND)
                return self._replace(key, before, before.delivered())
            case Failed(reason, retry_after, rate_limited):
                self._metrics.tries.labels(name, "failed").inc()
                self.health.failed(reason, retry_after, now, rate_limited=rate_limited, waiting=self.pending)
                due = next_try(self._destination, message, now, retry_after)
                if due is not None:
                    return self._replace(key, before, before.failed(due))
                return self._park(key, before, message, f"given up: {reason}", now)
            case Undeliverable(reason, gone):
                self._metrics.tries.labels(name, "refused").inc()
                if gone:
                    self.health.gone(reason)
                else:
                    self.health.succeeded(self.pending)
                return self._park(key, before, message, reason, now)

    def _park(self, key: PageKey, before: Page, message: Message, reason: str, now: int) -> list[StateRow]:
        name = self._destination.name
        self._metrics.parked.labels(name).inc()
        self._log.error(
            "message_parked", incident=key.incident, event_id=message.event["id"], type=message.event["type"],
            reason=reason, tries=message.tries + 1,
        )  # fmt: skip
        parked = Parked(name, key.incident, message._replace(tries=message.tries + 1), reason, now)
        return [parked_row(parked), *self._replace(key, before, before.delivered())]
