"""The pages that a destination had in memory when its partitions were taken away, for a topic of rows that is made anew
meanwhile: what it knew is written again, and not lost with the topic."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog

from connect.notify.page import Page
from connect.notify.page_store_rows import StateRow, StoredPages, changes
from streams.errors import SlaError

MADE_ANEW = (
    "the topic of rows was deleted and made anew: open pages and waiting messages are written again; parked messages, "
    "and requests to retry them, are lost"
)
#: Reconnects, a few seconds apart each.
_MOST_UNANSWERED = 5


async def _no_id() -> bytes:
    return b""


class RetainedPages:
    """Of one destination, over its connections. `topic_id` asks Kafka which topic the rows are in at the moment; it
    raises SlaError where there is no answer."""

    def __init__(self, destination: str, topic_id: Callable[[], Awaitable[bytes]] = _no_id) -> None:
        self._destination = destination
        self._ask = topic_id
        self.topic_id = b""
        """Of the topic that was read last; empty where the broker tells none."""
        self._unanswered = 0
        self._pages: dict[int, tuple[bytes, Sequence[Page]]] = {}
        """By partition, with the id of the topic that has their rows."""

    async def begin(self) -> None:
        """Rows are about to be read back. Raises SlaError where there is no answer, and something was kept. After a few
        of those the topic counts as the same: alerts are not held up for as long as another client of Kafka fails."""
        try:
            self.topic_id = await self._ask()
            self._unanswered = 0
        except SlaError:
            self._unanswered += 1
            if self._unanswered <= _MOST_UNANSWERED and any(pages for _, pages in self._pages.values()):
                raise

    def keep(self, pages: Mapping[int, Sequence[Page]]) -> None:
        """What is in memory is about to be forgotten; by partition."""
        for partition, found in pages.items():
            self._pages[partition] = self.topic_id, found

    def restore(self, partition: int, stored: StoredPages) -> list[StateRow]:
        """Add what another topic had to what was read back, and return the rows of it. What was read back holds: the
        notifier that had the partition in between wrote it."""
        before, pages = self._pages.get(partition, (self.topic_id, ()))
        if not before or before == self.topic_id:
            return []
        known = {page.incident for page in stored.pages()}
        lost = [page for page in pages if page.incident not in known]
        rows = [row for page in lost for row in changes(self._destination, None, page)]
        for row in rows:
            stored.read(row.key, row.value)
        structlog.get_logger("connect.notify").warning(
            "rows_written_again", destination=self._destination, partition=partition, pages=len(lost), reason=MADE_ANEW
        )
        return rows

    def loaded(self) -> None:
        """All partitions are in memory again."""
        self._pages.clear()
