"""The pages that a destination had in memory when its partitions were taken away, for a topic of rows that is made anew
meanwhile: what it knew is written again, and not lost with the topic."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple

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


class _Retained(NamedTuple):
    """The pages of a partition, the topic that has their rows, and the owners of this process that wrote some since."""

    topic_id: bytes
    owners: frozenset[str]
    pages: Sequence[Page]


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
        self._owner = ""
        self._unanswered = 0
        self._pages: dict[int, _Retained] = {}
        """By partition."""

    async def begin(self, owner: str) -> None:
        """Rows are about to be read back, for the owner that writes those to come. Raises SlaError where there is no
        answer, and something was kept. After a few of those the topic counts as the same: alerts are not held up for as
        long as another client of Kafka fails."""
        self._owner = owner
        try:
            self.topic_id = await self._ask()
            self._unanswered = 0
        except SlaError:
            self._unanswered += 1
            if self._unanswered <= _MOST_UNANSWERED and any(each.pages for each in self._pages.values()):
                raise

    def keep(self, pages: Mapping[int, Sequence[Page]]) -> None:
        """What is in memory is about to be forgotten; by partition."""
        for partition, found in pages.items():
            before, topic_id, owners = self._pages.get(partition), self.topic_id, frozenset({self._owner})
            if before is not None and before.topic_id not in {b"", topic_id}:  # not all are written again yet
                topic_id, owners = before.topic_id, owners | before.owners
            self._pages[partition] = _Retained(topic_id, owners, found)

    def restore(self, partition: int, stored: StoredPages) -> list[StateRow]:
        """Add what another topic had to what was read back, and return the rows of it. Rows may have been written to
        the new topic before it was noticed: where they are all of this process it knew more than they say. Else what
        was read back holds: the notifier that had the partition in between wrote it."""
        before = self._pages.get(partition)
        if before is None or not before.topic_id or before.topic_id == self.topic_id:
            return []
        known = {page.incident: page for page in stored.pages()}
        pages = {page.incident: page for page in before.pages}
        if stored.owners <= before.owners:
            pages |= {incident: Page(incident) for incident in known if incident not in pages}
        else:
            mine = {None, *before.owners}
            over = known.keys() | {incident for incident, owner in stored.ended.items() if owner not in mine}
            pages = {incident: page for incident, page in pages.items() if incident not in over}
        written = [list(changes(self._destination, known.get(incident), each)) for incident, each in pages.items()]
        rows = [row for each in written for row in each]
        for row in rows:
            stored.read(row.key, row.value)
        count = sum(map(bool, written))
        structlog.get_logger("connect.notify").warning(
            "rows_written_again", destination=self._destination, partition=partition, pages=count, reason=MADE_ANEW
        )
        return rows

    def written(self, partition: int) -> None:
        """What `restore` returned is in the topic."""
        self._pages.pop(partition, None)

    def loaded(self) -> None:
        """All partitions are in memory again."""
        self._pages.clear()
