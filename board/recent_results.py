"""Results of slow queries, kept for a short while: what many viewers look at is computed once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Any, TypeVar, cast

from streams.sla.instants import SECOND
from streams.time_source import TimeSource

ResultT = TypeVar("ResultT")


class RecentResults:
    """Results by key, each for at most `keep` (microseconds), at most `most` of them. Threads may share it."""

    def __init__(self, time_source: TimeSource, *, keep: int = 30 * SECOND, most: int = 64) -> None:
        self._time_source = time_source
        self._keep = keep
        self._most = most
        self._lock = Lock()
        self._found: OrderedDict[Hashable, tuple[int, Any]] = OrderedDict()

    def get(self, key: Hashable, compute: Callable[[], ResultT]) -> ResultT:
        """The result under a key, computed where there is none that is recent enough. Nobody may change it."""
        now = self._time_source.now()
        with self._lock:
            known = self._found.get(key)
        if known is not None and 0 <= now - known[0] < self._keep:
            return cast(ResultT, known[1])
        result = compute()
        with self._lock:
            self._found[key] = now, result
            self._found.move_to_end(key)
            while len(self._found) > self._most:
                self._found.popitem(last=False)
        return result
