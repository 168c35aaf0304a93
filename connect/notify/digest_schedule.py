"""Which pages wait for a digest, and until when. Pure."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator

from connect.notify.pending_pages import PageKey
from streams.sla.instants import MINUTE, SECOND

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

    @property
    def folds(self) -> bool:
        return self._limit is not None

    @property
    def next_due(self) -> int | None:
        """When the next digest is due."""
        return min(self._due.values(), default=None)

    def due(self, partition: int, now: int) -> int:
        """When the next digest of a partition is due, if pages are folded now."""
        return self._due.setdefault(partition, now + DIGEST_EVERY)

    def room(self, now: int) -> int:
        """How many further pages may be sent now."""
        return (self._limit or 0) - sum(now - at < MINUTE for at in self._sent)

    def must_wait(self, key: PageKey, now: int) -> bool:
        """Whether a page may not be sent now; it waits from then on. One that may be sent counts towards the rate."""
        if self._limit is None:
            return False
        exceeded = len(self._sent) == self._limit and now - self._sent[0] < MINUTE
        if exceeded and key not in self._alone:
            self._waiting[key.partition].add(key)
            self.due(key.partition, now)
            return True
        self._alone.discard(key)
        self._sent.append(now)
        return False

    def set_back(self, by: int) -> None:
        """The clock was set back by so much."""
        self._sent = deque((at - by for at in self._sent), self._limit)
        self._due = {partition: due - by for partition, due in self._due.items()}

    def take_due(self, now: int) -> Iterator[tuple[int, set[PageKey]]]:
        """The partitions whose digest is due, each with the pages that have waited."""
        for partition, due in list(self._due.items()):
            if due <= now:
                del self._due[partition]
                yield partition, self._waiting.pop(partition, set())

    def postpone(self, partition: int, waiting: set[PageKey], now: int) -> None:
        """These pages can't be folded yet."""
        self._waiting[partition] |= waiting
        self._due.setdefault(partition, now + SECOND)

    def send_alone(self, key: PageKey) -> None:
        """No other page waits with it: it need not wait again, whatever the rate."""
        self._alone.add(key)

    def forget_alone(self, key: PageKey) -> None:
        """The page has no alert any more that could be sent alone."""
        self._alone.discard(key)

    def clear(self) -> None:
        """Forget all pages; the rate stays."""
        self._waiting.clear()
        self._due.clear()
        self._alone.clear()
