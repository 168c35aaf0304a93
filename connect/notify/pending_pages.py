"""The pages of one destination in memory, and which of them is due first. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple

from connect.notify.page import Page, differing


class PageKey(NamedTuple):
    """A page, by the partition of its alerts and its incident."""

    partition: int
    incident: str


_Entry = tuple[int, int, PageKey]


class PendingPages:
    """Pages by key, with queues of those whose first message waits: alerts, and ends, which may give way to alerts. An
    entry of a queue is valid while its page still has that first message; outdated entries are skipped, or removed when
    there are many."""

    def __init__(self, *, ends_give_way: bool) -> None:
        self._ends_give_way = ends_give_way
        self._pages: dict[PageKey, Page] = {}
        self._waiting: dict[int, set[PageKey]] = {}
        self._alerts: list[_Entry] = []
        self._ends: list[_Entry] = []
        self.messages = 0
        """How many messages wait, in all pages."""
        self.size = 0
        """Their memory in bytes, roughly."""
        self.alerts = 0
        """How many of them are alerts."""

    def __len__(self) -> int:
        return len(self._pages)

    @property
    def queue_length(self) -> int:
        """Entries of the queues, outdated ones included."""
        return len(self._alerts) + len(self._ends)

    def get(self, key: PageKey) -> Page | None:
        return self._pages.get(key)

    def by_partition(self) -> dict[int, list[Page]]:
        """All pages."""
        found: dict[int, list[Page]] = {}
        for key, page in self._pages.items():
            found.setdefault(key.partition, []).append(page)
        return found

    def waiting(self, partition: int) -> Iterator[PageKey]:
        """The pages of a partition that have messages, the first due first."""
        yield from sorted(self._waiting.get(partition, ()), key=self._order)

    def expired(self, since: int) -> list[PageKey]:
        """The pages whose first message was created by then."""
        return [key for keys in self._waiting.values() for key in sorted(keys) if self._pages[key].head.since <= since]

    def put(self, key: PageKey, page: Page) -> None:
        """Replace a page; one that is over is dropped. It is not in a queue before `enqueue`."""
        before = self._pages.get(key)
        was, now = differing(() if before is None else before.pending, page.pending)
        self.messages += len(now) - len(was)
        self.size += sum(each.size for each in now) - sum(each.size for each in was)
        self.alerts += sum(each.action == "trigger" for each in now) - sum(each.action == "trigger" for each in was)
        waiting = self._waiting.setdefault(key.partition, set())
        if page.pending:
            waiting.add(key)
        else:
            waiting.discard(key)
        if page.over:
            self._pages.pop(key, None)
        else:
            self._pages[key] = page

    def enqueue(self, key: PageKey) -> bool:
        """Queue a page for its first message; False where none waits."""
        page = self._pages.get(key)
        if page is None or not page.pending:
            return False
        if self.queue_length > 4 * self.messages + 100:
            self._remove_outdated()
        heapq.heappush(self._queue_of(page), (page.head.due, page.head.seq, key))
        return True

    def first_due(self, now: int, blocked: Callable[[PageKey], bool]) -> tuple[int, PageKey] | None:
        """The page that is due first, and when; where ends give way, of those that are due by now an alert. Entries of
        pages that are blocked or have changed are removed."""
        alert, end = (self._first(queue, blocked) for queue in (self._alerts, self._ends))
        if alert is None or end is None:
            return alert or end
        return alert if alert[0] <= (max(now, end[0]) if self._ends_give_way else end[0]) else end

    def pop(self, key: PageKey) -> None:
        """Remove what `first_due` has returned."""
        heapq.heappop(self._queue_of(self._pages[key]))

    def set_back(self, by: int) -> None:
        """The clock was set back by so much: every attempt is due earlier, in the same order."""
        for key, page in self._pages.items():
            if page.pending:
                pending = tuple(each._replace(due=each.due - by) for each in page.pending)
                self._pages[key] = replace(page, pending=pending)
        for queue in (self._alerts, self._ends):
            queue[:] = [(due - by, seq, key) for due, seq, key in queue]

    def clear(self) -> None:
        self._pages.clear()
        self._waiting.clear()
        self._alerts.clear()
        self._ends.clear()
        self.messages = self.alerts = self.size = 0

    def _queue_of(self, page: Page) -> list[_Entry]:
        return self._alerts if page.head.action == "trigger" else self._ends

    def _first(self, queue: list[_Entry], blocked: Callable[[PageKey], bool]) -> tuple[int, PageKey] | None:
        while queue:
            due, seq, key = queue[0]
            page = self._pages.get(key)
            valid = page is not None and page.pending and self._queue_of(page) is queue
            if valid and self._order(key) == (due, seq) and not blocked(key):
                return due, key
            heapq.heappop(queue)
        return None

    def _order(self, key: PageKey) -> tuple[int, int]:
        head = self._pages[key].head
        return head.due, head.seq

    def _remove_outdated(self) -> None:
        valid = {(page.head.due, page.head.seq, key) for key, page in self._pages.items() if page.pending}
        for queue in (self._alerts, self._ends):
            queue[:] = sorted(valid.intersection(queue))  # each once, however often its page was queued
