"""Threads for work on bodies that would hold up other requests: parsing and translating 12 MiB takes seconds.

The work is pure, so it may run in any thread. Python lets the event loop run between two instructions of it, at the
latest after `sys.getswitchinterval()`.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

#: Bodies of at most this many bytes are translated at once: it takes a few milliseconds, and a thread would cost more.
_AT_ONCE = 8 * 1024
#: Bodies of at most this many bytes do not wait for larger ones: they have a thread of their own.
_MEDIUM = 128 * 1024
_COLLECT_EVERY_S = 30.0

ResultT = TypeVar("ResultT")


class BodyThreads:
    """One thread for large bodies, one for others that are not small. More would compete with the event loop. The work
    of a body is given in steps; those of several bodies take turns. `seconds` is a clock that never goes back."""

    def __init__(self, seconds: Callable[[], float] = time.monotonic) -> None:
        self._medium = ThreadPoolExecutor(1, "intake-medium-bodies")
        self._large = ThreadPoolExecutor(1, "intake-large-bodies")
        self._seconds = seconds
        self._large_bodies = 0
        self._collected_at = 0.0

    @contextmanager
    def holding(self, size: int) -> Iterator[None]:
        """A block in which a body of `size` bytes is parsed. While there is a large one the garbage collector runs
        seldom: it stops all threads and visits every value, which takes it half a second for a million. A body has no
        cycles, so its memory is freed all the same."""
        if size <= _MEDIUM:
            yield
            return
        if not self._large_bodies:
            self._collected_at = self._seconds()
            gc.disable()
        self._large_bodies += 1
        try:
            yield
        finally:
            self._large_bodies -= 1
            if not self._large_bodies:
                gc.enable()

    async def run(self, size: int, work: Callable[[], ResultT]) -> ResultT:
        """The result of a step of work on a body of `size` bytes. Raises what `work` raises."""
        if size <= _AT_ONCE:
            return work()
        loop = asyncio.get_running_loop()
        if size <= _MEDIUM:
            return await loop.run_in_executor(self._medium, work)
        return await loop.run_in_executor(self._large, partial(self._step, work))

    def close(self) -> None:
        """Begin no further step. One in progress ends by itself."""
        for each in (self._medium, self._large):
            each.shutdown(wait=False, cancel_futures=True)

    def _step(self, work: Callable[[], ResultT]) -> ResultT:
        """Connections leave cycles behind, which have to be collected also while there always is a large body."""
        now = self._seconds()
        if now - self._collected_at > _COLLECT_EVERY_S:
            self._collected_at = now
            gc.collect()
        return work()
