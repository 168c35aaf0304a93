"""All pages of one destination: what alerts, attempts and digests do to them, and the rows to be written. Pure.

Whatever is changed here is stored before anything of it is sent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from typing import NamedTuple

from connect.notify.destinations.kind import Destination
from connect.notify.digest import digest_page, ended, fold, incident_of_digest, key_of_digest, name_of, waiting_digest
from connect.notify.kind_change import JudgedPage, judged_anew
from connect.notify.message import DIGEST, Message, digest_key
from connect.notify.page import Page
from connect.notify.page_store_rows import StateRow, changes, unparked_row
from connect.notify.parked_retry import not_retried, requeued, why_not_retried
from connect.notify.pending_pages import PageKey, PendingPages
from connect.notify.recovery import recovered
from connect.notify.triggers import PageTrigger
from streams.i18n.catalogues import Language


class PageChange(NamedTuple):
    """The rows to be written, in their order, and the pages that they are of."""

    rows: list[StateRow]
    keys: set[PageKey]


class Loaded(NamedTuple):
    """The rows to be written after the stored pages of a partition were taken over, and the pages that they are of."""

    rows: list[StateRow]
    keys: set[PageKey]
    judged: list[JudgedPage]
    """Those whose messages were made for another kind of destination."""


class Folded(NamedTuple):
    """What a digest has taken."""

    change: PageChange
    alerts: int
    incidents: int


class DestinationPages:
    """The pages, by partition and incident, and which of them have a message in flight."""

    def __init__(self, destination: Destination, deployment: str) -> None:
        self._destination = destination
        self._deployment = deployment
        self._members: Counter[PageKey] = Counter()
        """How many incidents each digest has alerts of."""
        self._collecting: dict[int, PageKey] = {}
        """The latest digest of each partition."""
        self.queue = PendingPages(ends_give_way=destination.kind.latest_only)
        self.in_flight: set[PageKey] = set()

    @property
    def backlog(self) -> int:
        """Messages that count towards the number that may wait. Where only the latest state is sent, a page has one end
        at most, and is in memory anyway."""
        return self.queue.alerts if self._destination.kind.latest_only else self.queue.messages

    def load(self, partition: int, stored: Iterable[Page], now: int) -> Loaded:
        """Take over the stored pages of a partition."""
        change, pages = PageChange([], set()), list(stored)
        judged = [judged_anew(page, self._destination, now) for page in pages]
        changed = {each.page.incident: each.page for each in judged if each.kinds}
        for before, page in recovered(pages, self._destination, now, changed):
            key = PageKey(partition, page.incident)
            change.rows.extend(changes(self._destination.name, before, page))
            change.keys.add(key)
            self._put(key, page)
        return Loaded(change.rows, change.keys, [each for each in judged if each.kinds])

    def apply(self, partition: int, trigger: PageTrigger, language: Language | None, now: int) -> PageChange:
        """An alert that is routed here, in the language of its route, or an end."""
        key = PageKey(partition, trigger.incident)
        page = self._page(key).apply(
            trigger,
            self._destination,
            now,
            busy=key in self.in_flight,
            language=language,
            deployment=self._deployment,
        )
        return self._changed(key, page, now)

    def why_not_retried(self, partition: int, incident: str, message: Message) -> str | None:
        """Why a parked message is not sent again; None where it is."""
        return why_not_retried(message, self._page(PageKey(partition, incident)), self._destination)

    def not_retried(self, partition: int, incident: str, message: Message, now: int) -> PageChange:
        """A parked message is not sent again."""
        key = PageKey(partition, incident)
        return self._changed(key, not_retried(self._page(key), message), now)

    def retry(self, partition: int, incident: str, message: Message, now: int) -> PageChange:
        """A parked message waits again; then it is parked no more."""
        key = PageKey(partition, incident)
        change = self._changed(key, requeued(self._page(key), message, self._destination, now), now)
        change.rows.append(unparked_row(self._destination.name, message))
        return change

    def start(self, key: PageKey) -> list[StateRow]:
        """The first message of a page is about to be sent. What may be open there afterwards is stored before."""
        self.in_flight.add(key)
        page = self._page(key)
        must_store = self._destination.kind.latest_only and page.head.opens and not page.head.attempted
        return self._changed(key, page.started(), 0).rows if must_store else []

    def delivered(self, key: PageKey, now: int) -> list[StateRow]:
        """The first message is delivered, or parked. A digest ends then if all of its alerts have ended before."""
        page = self._page(key)
        rows = self._changed(key, page.delivered(), now).rows
        if page.head.late and page.head.clock == DIGEST and not self._members[key]:
            rows += self._ended(key, now)
        return rows

    def failed(self, key: PageKey, due: int, *, written: bool) -> list[StateRow]:
        """The first message was not delivered, and is tried again at `due`, unless a later one takes its place. That
        one must be `written`, or its earlier row could follow the one that is returned."""
        latest_only = self._destination.kind.latest_only and written
        return self._changed(key, self._page(key).failed(due, latest_only=latest_only), 0).rows

    def foldable(self, keys: Iterable[PageKey]) -> list[PageKey]:
        """Those whose alerts a digest may have."""
        found = ((key, self.queue.get(key)) for key in keys if key not in self.in_flight)
        return [key for key, page in found if page is not None and page.foldable]

    def digest_of(self, partition: int, keys: Collection[PageKey]) -> PageKey:
        """The digest that these pages join: the one of their partition that waits, or else the one that an incident of
        them is in, so that one page is told of all of them, or else a new one."""
        pages = [self._page(key) for key in keys]
        if self.collects(partition):
            return self._collecting[partition]
        for named in sorted(key for page in pages for key in page.digests):
            key = PageKey(partition, incident_of_digest(named))
            if (page := self.queue.get(key)) is not None and page.open:
                return key
        return PageKey(partition, incident_of_digest(digest_key(self._deployment, name_of(pages))))

    def collects(self, partition: int) -> bool:
        """Whether a digest of this partition waits, so that further alerts can join it."""
        key = self._collecting.get(partition)
        page = None if key is None else self.queue.get(key)
        return page is not None and waiting_digest(page, busy=key in self.in_flight) is not None

    def fold(self, digest: PageKey, keys: Collection[PageKey], now: int, due: int) -> Folded:
        """Fold the untried alerts of these pages into a digest that is sent at `due`."""
        found = fold(
            self.queue.get(digest) or digest_page(str(key_of_digest(digest.incident))),
            [self._page(key) for key in keys],
            self._destination,
            now,
            busy=digest in self.in_flight,
            due=due,
        )
        change = self._changed(digest, found.digest, now)
        for key, page in zip(keys, found.pages, strict=True):
            change.rows.extend(self._changed(key, page, now).rows)
        self._collecting[digest.partition] = digest
        return Folded(PageChange(change.rows, {digest, *keys}), found.alerts, len(keys))

    def clear(self) -> None:
        """Forget all pages."""
        self.queue.clear()
        self._members.clear()
        self._collecting.clear()
        self.in_flight.clear()

    def _page(self, key: PageKey) -> Page:
        return self.queue.get(key) or Page(key.incident)

    def _changed(self, key: PageKey, page: Page, now: int) -> PageChange:
        """The rows of a page, then those of the digests that have ended with it."""
        name, before = self._destination.name, self.queue.get(key)
        rows, keys = list(changes(name, before, page)), {key}
        for over in self._put(key, page):
            rows += self._ended(over, now)
            keys.add(over)
        return PageChange(rows, keys)

    def _ended(self, key: PageKey, now: int) -> list[StateRow]:
        """The rows of a digest whose alerts have ended, unless it has a late one and still waits: people see it."""
        digest = self.queue.get(key)
        if digest is None or digest.waits_late:
            return []
        after = ended(digest, self._destination, now, busy=key in self.in_flight)
        self._put(key, after)
        return list(changes(self._destination.name, digest, after))

    def _put(self, key: PageKey, page: Page) -> list[PageKey]:
        """Replace a page; the digests that have no alert any more."""
        before = self.queue.get(key)
        old = frozenset[str]() if before is None else before.digests
        for named in page.digests - old:
            self._members[PageKey(key.partition, incident_of_digest(named))] += 1
        over = []
        for named in sorted(old - page.digests):
            digest = PageKey(key.partition, incident_of_digest(named))
            self._members[digest] -= 1
            if not self._members[digest]:
                del self._members[digest]
                over.append(digest)
        self.queue.put(key, page)
        return over
