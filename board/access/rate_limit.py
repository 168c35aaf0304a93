"""Limits failed sign-ins, per network of an address and in total."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable

from streams.http_connections import network_of
from streams.sla.instants import MINUTE, SECOND
from streams.time_source import TimeSource

#: Failures within the window, after which an address waits until the oldest is over.
MOST_PER_ADDRESS = 10
#: The same over all addresses; those that have signed in successfully are exempt.
MOST_IN_TOTAL = 200
WINDOW = 5 * MINUTE
_MOST_ADDRESSES = 10_000


class FailureLimit:
    """Counts failures in memory; a restart forgets them. All methods may be called from any thread.

    Addresses with the same `key_of` share one count: by default those of an IPv6 /64, all of which one sender has.
    """

    def __init__(
        self,
        time_source: TimeSource,
        *,
        per_address: int = MOST_PER_ADDRESS,
        in_total: int = MOST_IN_TOTAL,
        key_of: Callable[[str], str] = network_of,
    ) -> None:
        self._time = time_source
        self._per_address = per_address
        self._in_total = in_total
        self._key_of = key_of
        self._lock = threading.Lock()
        self._failures: OrderedDict[str, deque[int]] = OrderedDict()
        self._all: deque[int] = deque(maxlen=in_total)
        self._trusted: OrderedDict[str, None] = OrderedDict()

    def retry_after(self, address: str) -> int | None:
        """Seconds that an address has to wait before its next attempt; None: it may try now."""
        key, now = self._key_of(address), self._time.now()
        with self._lock:
            own = self._failures.get(key)
            waits = [_wait(own, self._per_address, now)] if own else []
            if key not in self._trusted:
                waits.append(_wait(self._all, self._in_total, now))
        return max((each for each in waits if each), default=None)

    def failed(self, address: str) -> None:
        """Count a failure."""
        key, now = self._key_of(address), self._time.now()
        with self._lock:
            self._failures.setdefault(key, deque(maxlen=self._per_address)).append(now)
            self._failures.move_to_end(key)
            self._all.append(now)
            while len(self._failures) > _MOST_ADDRESSES:
                self._failures.popitem(last=False)

    def succeeded(self, address: str) -> None:
        """Remember that somebody signed in from an address. Its failures stay counted: one valid token must not be a
        way to try more."""
        key = self._key_of(address)
        with self._lock:
            self._trusted[key] = None
            self._trusted.move_to_end(key)
            while len(self._trusted) > _MOST_ADDRESSES:
                self._trusted.popitem(last=False)


def _wait(failures: deque[int], most: int, now: int) -> int | None:
    if len(failures) < most:
        return None
    left = failures[0] + WINDOW - now
    # More is left only where the clock was set back: nobody waits until it has caught up.
    return -(-left // SECOND) if 0 < left <= WINDOW else None
