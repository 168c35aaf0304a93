"""Threads for work on bodies that would hold up other requests: parsing and translating 12 MiB takes seconds.

The work is pure, so it may run in any thread. Python lets the event loop run between two instructions of it, at the
latest after `sys.getswitchinterval()`.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

#: Bodies of at most this many bytes are translated at once: it takes a few milliseconds, and a thread would cost more.
AT_ONCE = 8 * 1024
#: Bodies of at most this many bytes do not wait for larger ones: they have a thread of their own.
_MEDIUM = 128 * 1024

ResultT = TypeVar("ResultT")


class BodyThreads:
    """One thread for large bodies, one for others that are not small. More would compete with the event loop. The work
    of a body is given in steps; those of several bodies take turns."""

    def __init__(self) -> None:
        self._medium = ThreadPoolExecutor(1, "intake-medium-bodies")
        self._large = ThreadPoolExecutor(1, "intake-large-bodies")

    async def run(self, size: int, work: Callable[[], ResultT]) -> ResultT:
        """The result of a step of work on a body of `size` bytes. Raises what `work` raises."""
        if size <= AT_ONCE:
            return work()
        loop = asyncio.get_running_loop()
        if size <= _MEDIUM:
            return await loop.run_in_executor(self._medium, work)
        return await loop.run_in_executor(self._large, partial(_without_collections, work))

    def close(self) -> None:
        """Begin no further step. One in progress ends by itself."""
        for each in (self._medium, self._large):
            each.shutdown(wait=False, cancel_futures=True)


def _without_collections(work: Callable[[], ResultT]) -> ResultT:
    """Do a step of work on a large body. The garbage collector stops all threads while it visits what was made since
    its last run, or everything: a parsed body of a million values takes it half a second. So it does not run during the
    step, and visits nothing of what exists at its end until the next large body comes. The body itself has no cycles,
    so its memory is freed all the same."""
    gc.disable()
    gc.unfreeze()
    try:
        return work()
    finally:
        gc.freeze()
        gc.enable()
