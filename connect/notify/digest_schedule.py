"""Which pages wait for a digest, and until when; which digests have open incidents. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterator

from connect.notify.page import Page
from connect.notify.pending_pages import PageKey
from streams.sla.instants import MINUTE

#: At most one digest of a partition in this time.
DIGEST_EVERY = MINUTE


class DigestSchedule:
    """Beyond `limit` pages a minute further ones wait, by partition, for their digest. None: none ever waits."""

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._sent: deque[int] = deque(maxlen=limit)
        self._waiting: dict[int, set[PageKey]] = defaultdict(set)
        self._due: dict[int, int] = {}
        self._alone: set[PageKey] = set()
        self._incidents: Counter[str] = Counter()

    @property
    def next_due(self) -> int | None:
        """When the next digest is due."""
        return min(self._due.values(), default=None)

    def must_wait(self, key: PageKey, now: int) -> bool:
        """Whether a page may not be sent now; it waits from then on. One that may be sent counts towards the rate."""
        if self._limit is None:
            return False
        exceeded = len(self._sent) == self._limit and now - self._sent[0] < MINUTE
        if exceeded and key not in self._alone:
            self._waiting[key.partition].add(key)
            self._due.setdefault(key.partition, now + DIGEST_EVERY)
            return True
        self._alone.discard(key)
        self._sent.append(now)
        return False

    def take_due(self, now: int) -> Iterator[tuple[int, set[PageKey]]]:
        """The partitions whose digest is due, each with the pages that have waited."""
        for partition, due in list(self._due.items()):
            if due <= now:
                del self._due[partition]
                yield partition, self._waiting.pop(partition, set())

    def send_alone(self, key: PageKey) -> None:
        """No other page waits with it: it need not wait again, whatever the rate."""
        self._alone.add(key)

    def replaced(self, before: Page | None, after: Page) -> None:
        """A page has changed."""
        old = before.digest if before is not None else None
        if old == after.digest:
            return
        if after.digest is not None:
            self._incidents[after.digest] += 1
        if old is not None:
            self._incidents[old] -= 1
            if not self._incidents[old]:
                del self._incidents[old]

    def is_last(self, digest: str) -> bool:
        """Whether a digest has one open incident."""
        return self._incidents[digest] == 1

    def clear(self) -> None:
        """Forget all pages; the rate stays."""
        self._waiting.clear()
        self._due.clear()
        self._alone.clear()
        self._incidents.clear()
