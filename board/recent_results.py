"""Results of slow queries, kept for a short while: what many viewers look at is computed once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
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
        self._found: OrderedDict[Hashable, tuple[int, Future[Any]]] = OrderedDict()

    def get(self, key: Hashable, compute: Callable[[], ResultT]) -> ResultT:
        """The result under a key, computed where there is none that is recent enough; who asks meanwhile waits for it.
        Nobody may change it. Raises what `compute` raises."""
        now = self._time_source.now()
        with self._lock:
            began, result = self._found.get(key, (None, Future[Any]()))
            computed_here = began is None or not 0 <= now - began < self._keep
            if computed_here:
                result = Future[Any]()
                self._found[key] = now, result
                self._found.move_to_end(key)
                while len(self._found) > self._most:
                    self._found.popitem(last=False)
        if computed_here:
            try:
                result.set_result(compute())
            except BaseException as error:
                with self._lock:
                    if self._found.get(key) == (now, result):
                        del self._found[key]
                result.set_exception(error)
        return cast(ResultT, result.result())
