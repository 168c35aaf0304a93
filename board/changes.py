"""Tells open connections what has changed in the database: the ingest thread publishes, the server's loop delivers.

A subscription merges the changes that its reader has not taken yet, so a slow reader gets fewer and larger changes. A
change that would name more than `MOST_NAMES` rows says `resync` instead: the reader loads what it shows again.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

#: Incidents and tenant months that one change names, at most.
MOST_NAMES = 500
#: Changes that are remembered for readers that reconnect.
_REMEMBERED = 200


@dataclass(frozen=True, slots=True)
class Change:
    """What one or more transactions changed.

    `position` is the database's position after them: it grows with every transaction that applied records.
    `tenant_months` are pairs of tenant id and month (YYYY-MM). With `resync` the names are incomplete.
    """

    position: int
    incidents: frozenset[str] = frozenset()
    tenant_months: frozenset[tuple[str, str]] = frozenset()
    rejects: bool = False
    notifications: bool = False
    resync: bool = False

    def merged(self, later: Change) -> Change:
        """Both changes as one."""
        incidents, months = self.incidents | later.incidents, self.tenant_months | later.tenant_months
        resync = self.resync or later.resync or len(incidents) + len(months) > MOST_NAMES
        return Change(
            later.position,
            frozenset() if resync else incidents,
            frozenset() if resync else months,
            self.rejects or later.rejects,
            self.notifications or later.notifications,
            resync,
        )


class ChangeSubscription:
    """The changes for one reader, in the loop that subscribed. `reader` names whom it is counted for."""

    def __init__(self, first: Change | None, reader: str) -> None:
        self.reader = reader
        self._loop = asyncio.get_running_loop()
        self._pending = first
        self._wake = asyncio.Event()
        self._closed = False
        if first is not None:
            self._wake.set()

    @property
    def closed(self) -> bool:
        """Whether the server is stopping: no change follows."""
        return self._closed

    async def next(self, timeout_s: float) -> Change | None:
        """Everything that has changed since the last call; None when nothing did in time, or when closed."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._wake.wait()
        except TimeoutError:
            return None
        pending, self._pending = self._pending, None
        if not self._closed:
            self._wake.clear()
        return pending

    def offer(self, change: Change) -> None:
        """Add a change; from any thread."""
        self._in_loop(self._add, change)

    def close(self) -> None:
        """End the subscription; from any thread."""
        self._in_loop(self._close)

    def _in_loop(self, call: object, *arguments: object) -> None:
        try:
            self._loop.call_soon_threadsafe(call, *arguments)  # type: ignore[arg-type]
        except RuntimeError:  # the loop has ended, and its readers with it
            self._closed = True

    def _add(self, change: Change) -> None:
        self._pending = change if self._pending is None else self._pending.merged(change)
        self._wake.set()

    def _close(self) -> None:
        self._closed = True
        self._wake.set()


@dataclass(slots=True)
class Changes:
    """Passes changes from the ingest thread to every subscription. All methods may be called from any thread."""

    _lock: threading.Lock = field(default_factory=threading.Lock)
    _subscriptions: set[ChangeSubscription] = field(default_factory=set)
    _recent: deque[Change] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    _closed: bool = False

    def publish(self, change: Change) -> None:
        """Deliver what a committed transaction changed."""
        change = Change(change.position).merged(change)  # bounds the number of names
        with self._lock:
            self._recent.append(change)
            for each in self._subscriptions:
                each.offer(change)

    @property
    def position(self) -> int:
        """The position of the latest change. What is read from the database afterwards has all changes up to it, so a
        subscription after it continues what was read without a gap. 0 before the first change."""
        with self._lock:
            return self._recent[-1].position if self._recent else 0

    @contextmanager
    def subscribe(self, after: int | None = None, reader: str = "") -> Iterator[ChangeSubscription]:
        """The changes from now on, or from position `after` on; called in an event loop. `reader` is a person or an
        address.

        Where changes since `after` are no longer remembered, the first change says `resync`.
        """
        with self._lock:
            subscription = ChangeSubscription(None if after is None else self._since(after), reader)
            if self._closed:
                subscription.close()
            self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            with self._lock:
                self._subscriptions.discard(subscription)

    def close(self) -> None:
        """End every subscription, also those that are still to come."""
        with self._lock:
            self._closed = True
            for each in self._subscriptions:
                each.close()

    @property
    def subscribers(self) -> int:
        """How many subscriptions there are."""
        with self._lock:
            return len(self._subscriptions)

    def subscribers_of(self, reader: str) -> int:
        """How many of them are counted for a reader."""
        with self._lock:
            return sum(each.reader == reader for each in self._subscriptions)

    def _since(self, after: int) -> Change | None:
        """What changed after a position; None when nothing did."""
        positions = [each.position for each in self._recent]
        if positions and positions[-1] == after:
            return None
        if after not in positions:  # forgotten, of a former database, or of the time before this process
            return Change(positions[-1] if positions else after, resync=True)
        later = [each for each in self._recent if each.position > after]
        merged = later[0]
        for each in later[1:]:
            merged = merged.merged(each)
        return merged
