"""The messages of one destination: several requests at once, in order within each incident."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable

import structlog

from connect.notify.destination_health import DestinationHealth
from connect.notify.destination_pages import DestinationPages, PageChange
from connect.notify.destinations.answers import Delivered, Failed, Outcome, Undeliverable
from connect.notify.destinations.http_sender import Sender
from connect.notify.destinations.kind import Destination
from connect.notify.digest_schedule import DigestSchedule
from connect.notify.incident_summaries import IncidentSummaries
from connect.notify.message import Message
from connect.notify.metrics import NotifyMetrics
from connect.notify.page import Page
from connect.notify.page_store_rows import StateRow, retried_row
from connect.notify.parking import Parking
from connect.notify.pending_pages import PageKey
from connect.notify.retained_pages import RetainedPages
from connect.notify.retry_policy import next_try
from connect.notify.row_store import Store
from connect.notify.triggers import PageTrigger
from streams.i18n.catalogues import Language
from streams.kafka.cancellation import CLIENT_ENDED, cancelled_by_us
from streams.sla.instants import DAY, SECOND
from streams.time_source import TimeSource
from streams.topics import DEFAULT_PREFIX

#: About how many messages wait in memory; the rest waits in Kafka.
MOST_PENDING = 1_000
#: Memory of those of a webhook in bytes, roughly: an alert may list a thousand tenants, a closing a thousand clocks.
MOST_PENDING_BYTES = 32 * 1024 * 1024
#: No attempt is further ahead than this.
_LONGEST_WAIT = 2 * DAY
#: In place of an incident, whose id has no control characters.
_FOLDING = "\x1f"


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
        summaries: IncidentSummaries | None = None,
        retained: RetainedPages | None = None,
    ) -> None:
        self._retained = RetainedPages(destination.name) if retained is None else retained
        self._destination = destination
        self._sender = sender
        self._store = store
        self._clock = clock
        self._metrics = metrics
        self._summaries = IncidentSummaries() if summaries is None else summaries
        self._pages = DestinationPages(destination, deployment)
        self._parking = Parking(destination.name, metrics)
        self._tasks: dict[PageKey, asyncio.Task[None]] = {}
        self._unwritten: set[PageKey] = set()
        """Pages whose latest rows are not written yet. Their messages are not sent, or the row that ends a message
        could precede the row that says that it waits."""
        self._writing: set[PageKey] = set()
        """Pages whose rows are being written with those of others: of a digest, or given up together."""
        self._digests = DigestSchedule(destination.pages_per_minute)
        self.health = DestinationHealth(destination.name)
        self._latest = 0
        """When it was last looked what is due."""
        self._wake = asyncio.Event()
        self._suspended = True
        self._failure: Exception | None = None
        self._log = structlog.get_logger("connect.notify").bind(destination=destination.name)

    # -- state ---------------------------------------------------------------------------------------------------------

    @property
    def pending(self) -> int:
        """Messages that wait."""
        return self._pages.queue.messages

    @property
    def capacity(self) -> int:
        """How many further messages may wait; at most 0: none."""
        left = MOST_PENDING - self._pages.backlog
        full = not self._destination.kind.latest_only and self._pages.queue.size >= MOST_PENDING_BYTES
        return min(left, 0) if full else left

    @property
    def open_pages(self) -> int:
        return len(self._pages.queue)

    def has_page(self, partition: int, incident: str) -> bool:
        """Whether something of this incident is open, waits or is in a digest here."""
        return self._pages.queue.get(PageKey(partition, incident)) is not None

    def load(self, partition: int, stored: Iterable[Page]) -> list[StateRow]:
        """Take over the stored pages of a partition. Returns the rows to be written, where a crash or a release before
        has left something; then call `rows_written`."""
        now = self._clock.now()
        loaded = self._pages.load(partition, stored, now)
        parked = self._parking.of_another_kind(loaded.judged, self._destination.kind, now)
        return [*parked, *self._applied(PageChange(loaded.rows, loaded.keys))]

    def apply(self, partition: int, trigger: PageTrigger, language: Language | None = None) -> list[StateRow]:
        """Apply an alert that is routed here, in the language of its route, or the end of a page. Returns the rows to
        be written; then call `rows_written`, and then commit the offset."""
        return self._applied(self._pages.apply(partition, trigger, language, self._clock.now()))

    def retry(self, partition: int, incident: str, message: Message) -> list[StateRow]:
        """Queue a parked message again, or park it again where it can't be sent. Returns the rows to be written; then
        call `rows_written`."""
        now, over = self._clock.now(), retried_row(self._destination.name, message)
        if (why := self._pages.why_not_retried(partition, incident, message)) is not None:
            left = self._applied(self._pages.not_retried(partition, incident, message, now))
            return [*left, self._parking.row(incident, message, why, now), over]
        return [*self._applied(self._pages.retry(partition, incident, message, now)), over]

    def fold_if_full(self, partition: int) -> list[StateRow]:
        """Where digests are allowed and many alerts wait, those of a partition become one at once, so that ends and
        later alerts are not held up behind them. Returns the rows to be written; then call `rows_written`."""
        if not self._digests.folds or self.capacity > MOST_PENDING // 2:
            return []
        now = self._clock.now()
        keys = self._pages.foldable(self._pages.queue.waiting(partition))[self._digests.room(now) :]
        if len(keys) < 2 and not (keys and self._pages.collects(partition)):
            return []
        return self._applied(self._fold_now(partition, keys, now, self._digests.due(partition, now)))

    def rows_written(self) -> None:
        """The rows of everything applied so far are written: its messages may be sent."""
        written = [key for key in self._unwritten if key not in self._pages.in_flight]
        self._unwritten.clear()
        for key in written:
            self._enqueue(key)

    async def suspend(self, timeout_s: float) -> None:
        """Let requests in flight end, for so long; then keep all pages aside, and send nothing until `resume`."""
        self._suspended = True
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=timeout_s)
        for task in list(self._tasks.values()):
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        self._tasks.clear()
        self._unwritten.clear()
        self._writing.clear()
        self._retained.keep(self._pages.queue.by_partition())
        self._pages.clear()
        self._digests.clear()

    def resume(self) -> None:
        """Begin to send."""
        self._suspended = False
        self._wake.set()

    def _applied(self, change: PageChange) -> list[StateRow]:
        self._unwritten |= change.keys
        for key in change.keys:
            if not self._pages.foldable([key]):
                self._digests.forget_alone(key)
        return change.rows

    def _enqueue(self, key: PageKey) -> None:
        if not self._blocked(key) and self._pages.queue.enqueue(key):
            self._wake.set()

    def _blocked(self, key: PageKey) -> bool:
        return key in self._pages.in_flight or key in self._unwritten or key in self._writing

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
            now = self._now()
            for partition, waiting in self._digests.take_due(now):
                self._fold(partition, waiting, now)
            if len(self._tasks) >= (1 if self.health.probing else kind.concurrency):
                return self._digests.next_due
            first = self._pages.queue.first_due(max(now, self.health.not_before), self._blocked)
            if first is None:
                return self._digests.next_due
            due, key = first
            if due > now + _LONGEST_WAIT:  # stored by a clock that was ahead
                due = now
            if (at := max(due, self.health.not_before)) > now:
                return at if self._digests.next_due is None else min(at, self._digests.next_due)
            self._pages.queue.pop(key)
            if self._pages.foldable([key]) and self._digests.must_wait(key, now):
                continue
            self.health.sent(now, kind.min_interval)
            page = self._pages.queue.get(key)
            assert page is not None
            rows = self._pages.start(key)
            self._tasks[key] = asyncio.create_task(self._deliver(key, page.head, rows))
        return None

    def _now(self) -> int:
        """The present instant. Where the clock was set back, what waits does so for as long as it would have before."""
        now = self._clock.now()
        if (by := self._latest - now) > SECOND:
            self._log.warning("clock_set_back", seconds=by // SECOND)
            self.health.set_back(by)
            self._digests.set_back(by)
            self._pages.queue.set_back(by)
        self._latest = now
        return now

    def _fold(self, partition: int, waiting: set[PageKey], now: int) -> None:
        """Send one digest for these pages; a single one is sent alone, unless it can join a digest that waits."""
        keys = [key for key in self._pages.foldable(sorted(waiting)) if not self._blocked(key)]
        for key in waiting.difference(keys):
            self._enqueue(key)
        if len(keys) == 1 and not self._pages.collects(partition):
            self._digests.send_alone(keys[0])
            self._enqueue(keys[0])
            return
        if not keys:
            return
        task = PageKey(partition, _FOLDING)
        digest = self._pages.digest_of(partition, keys)
        if task in self._tasks or digest in self._unwritten or digest in self._writing:
            self._digests.postpone(partition, set(keys), now)
            return
        change = self._fold_now(partition, keys, now, now)
        self._writing |= change.keys
        self._tasks[task] = asyncio.create_task(self._write_fold(task, change))

    def _fold_now(self, partition: int, keys: list[PageKey], now: int, due: int) -> PageChange:
        folded = self._pages.fold(self._pages.digest_of(partition, keys), keys, now, due)
        self._metrics.folded.labels(self._destination.name).inc(folded.alerts)
        self._log.warning("alerts_folded", alerts=folded.alerts, incidents=folded.incidents, partition=partition)
        return folded.change

    async def _write_fold(self, task: PageKey, change: PageChange) -> None:
        try:
            await self._store.write(task.partition, change.rows)
            self._writing -= change.keys
            for key in change.keys:
                self._enqueue(key)
        except asyncio.CancelledError:
            if cancelled_by_us():
                raise
            self._failure = ConnectionError(CLIENT_ENDED)
        except Exception as error:
            self._failure = error
        finally:
            self._ended(task)

    async def _deliver(self, key: PageKey, message: Message, started: list[StateRow]) -> None:
        try:
            await self._store.write(key.partition, started)  # without a row: it fails where others may have the page
            outcome = await self._sender.send(key.incident, self._summaries.with_summary(message))
            rows = self._apply_outcome(key, message, outcome)
            await self._store.write(key.partition, rows)
            if isinstance(outcome, Failed) and self.health.probing:
                await self._park_expired(outcome.reason)
        except asyncio.CancelledError:
            if cancelled_by_us():
                raise
            self._failure = ConnectionError(CLIENT_ENDED)
        except Exception as error:
            self._failure = error
        finally:
            if self._ended(key):
                self._pages.in_flight.discard(key)
                self._enqueue(key)

    def _ended(self, key: PageKey) -> bool:
        """This task has ended; False when it was replaced."""
        self._wake.set()
        if self._tasks.get(key) is not asyncio.current_task():
            return False
        del self._tasks[key]
        return True

    def _apply_outcome(self, key: PageKey, message: Message, outcome: Outcome) -> list[StateRow]:
        """The page's first message is still this one. Returns the rows to be written."""
        now, name = self._clock.now(), self._destination.name
        match outcome:
            case Delivered():
                self.health.succeeded(self.pending)
                self._metrics.tries.labels(name, "delivered").inc()
                self._metrics.delivered_seconds.labels(name).observe(max(now - message.since, 0) / SECOND)
                if message.action == "trigger" and message.record_at:
                    taken = max(now / SECOND - message.record_at / 1_000, 0)
                    self._metrics.arrival_to_delivery_seconds.labels(name).observe(taken)
                return self._pages.delivered(key, now)
            case Failed(reason, retry_after, rate_limited):
                self._metrics.tries.labels(name, "failed").inc()
                self.health.failed(reason, retry_after, now, rate_limited=rate_limited, waiting=self.pending)
                due = next_try(self._destination, message, now, retry_after)
                if due is not None:
                    return self._pages.failed(key, due, written=key not in self._unwritten)
                return self._park(key, message, f"given up: {reason}", now)
            case Undeliverable(reason, gone):
                self._metrics.tries.labels(name, "refused").inc()
                if gone:
                    self.health.gone(reason)
                else:
                    self.health.succeeded(self.pending)
                return self._park(key, message, reason, now)

    async def _park_expired(self, reason: str) -> None:
        """A destination that is down is tried with one message at a time. The others are given up when their time is
        over too, without an attempt of their own: so which of them are parked is no matter of chance, and alerts are
        read on."""
        now = self._clock.now()
        rows: dict[int, list[StateRow]] = defaultdict(list)
        parked = set[PageKey]()
        for key in self._pages.queue.expired(now - self._destination.give_up_after):
            while not self._blocked(key) and (message := self._expired(key, now)) is not None:
                rows[key.partition] += self._park(key, message, f"given up: {reason}", now, tried=False)
                parked.add(key)
        self._writing |= parked
        for partition, changed in rows.items():
            await self._store.write(partition, changed)
        self._writing -= parked
        for key in parked:
            self._enqueue(key)

    def _expired(self, key: PageKey, now: int) -> Message | None:
        """The first message of a page, if its time is over."""
        page = self._pages.queue.get(key)
        if page is None or not page.pending or page.head.since + self._destination.give_up_after > now:
            return None
        return page.head

    def _park(self, key: PageKey, message: Message, reason: str, now: int, *, tried: bool = True) -> list[StateRow]:
        message = message._replace(tries=message.tries + tried)
        return [self._parking.row(key.incident, message, reason, now), *self._pages.delivered(key, now)]
