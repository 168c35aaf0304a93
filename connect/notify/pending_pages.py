"""The pages of one destination in memory, and which of them is due first. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import NamedTuple

from connect.notify.page import Page


class PageKey(NamedTuple):
    """An incident's page, by the partition of its alerts."""

    partition: int
    incident: str


class PendingPages:
    """Pages by key, with a queue of those whose first message waits. An entry of the queue is valid while its page
    still has that first message; outdated entries are skipped, or removed when there are many."""

    def __init__(self) -> None:
        self._pages: dict[PageKey, Page] = {}
        self._queue: list[tuple[int, int, PageKey]] = []
        self.messages = 0
        """How many messages wait, in all pages."""

    def __len__(self) -> int:
        return len(self._pages)

    @property
    def queue_length(self) -> int:
        """Entries of the queue, outdated ones included."""
        return len(self._queue)

    def get(self, key: PageKey) -> Page | None:
        return self._pages.get(key)

    def put(self, key: PageKey, page: Page) -> None:
        """Replace a page; one that is over is dropped. It is not in the queue before `enqueue`."""
        before = self._pages.get(key)
        self.messages += len(page.pending) - (len(before.pending) if before is not None else 0)
        if page.over:
            self._pages.pop(key, None)
        else:
            self._pages[key] = page

    def enqueue(self, key: PageKey) -> bool:
        """Queue a page for its first message; False where none waits."""
        page = self._pages.get(key)
        if page is None or not page.pending:
            return False
        if len(self._queue) > 4 * self.messages + 100:
            self._remove_outdated()
        heapq.heappush(self._queue, (page.head.due, page.head.seq, key))
        return True

    def first_due(self, blocked: Callable[[PageKey], bool]) -> tuple[int, PageKey] | None:
        """The page that is due first, and when; entries of pages that are blocked or have changed are removed."""
        while self._queue:
            due, seq, key = self._queue[0]
            page = self._pages.get(key)
            if page is not None and page.pending and not blocked(key) and (page.head.due, page.head.seq) == (due, seq):
                return due, key
            heapq.heappop(self._queue)
        return None

    def pop(self) -> None:
        """Remove what `first_due` has returned."""
        heapq.heappop(self._queue)

    def clear(self) -> None:
        self._pages.clear()
        self._queue.clear()
        self.messages = 0

    def _remove_outdated(self) -> None:
        valid = {(page.head.due, page.head.seq, key) for key, page in self._pages.items() if page.pending}
        self._queue = [entry for entry in self._queue if entry in valid]
        heapq.heapify(self._queue)
