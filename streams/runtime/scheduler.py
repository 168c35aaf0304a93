"""Whose slice of deciding it is, among the shards of a worker.

One slice, then whatever came from the network, then another: if all shards decided between two looks at the network, a
commit would wait for all of them at each of its steps. An agent that can wait has one turn for all its shards together,
so that a month's close leaves the machine to the alerts.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator


class Scheduler:
    """The turns of one worker, first come, first served."""

    def __init__(self) -> None:
        self._slice = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def next(self) -> AsyncIterator[None]:
        """Wait for a turn; it lasts as long as the context, and until the network has been looked at after it."""
        async with self._slice:
            yield
            await asyncio.sleep(0)

    def shared(self) -> Scheduler:
        """Turns that count as one of these, however many wait for them."""
        return _Shared(self)


class _Shared(Scheduler):
    def __init__(self, of: Scheduler) -> None:
        super().__init__()
        self._of = of

    @contextlib.asynccontextmanager
    async def next(self) -> AsyncIterator[None]:
        async with self._slice, self._of.next():
            yield
