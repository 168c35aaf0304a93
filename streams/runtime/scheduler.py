"""Fair scheduling of CPU slices between the tasks of a worker.

After each slice the event loop serves the network once. If every task ran a slice between two looks at the network, a
commit would wait for all of them at each of its steps. The tasks of a background agent share one place in the queue, so
that month closes do not delay alerts.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator


class Scheduler:
    """Grants slices in the order in which tasks ask for them."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def slice(self) -> AsyncIterator[None]:
        """Wait for a slice; it lasts as long as the context, and until the network has been served after it."""
        async with self._lock:
            yield
            await asyncio.sleep(0)

    def group(self) -> Scheduler:
        """A scheduler whose tasks together get as many slices as one task of this one."""
        return SchedulerGroup(self)


class SchedulerGroup(Scheduler):
    """Tasks that count as one task of `parent`."""

    def __init__(self, parent: Scheduler) -> None:
        super().__init__()
        self._parent = parent

    @contextlib.asynccontextmanager
    async def slice(self) -> AsyncIterator[None]:
        async with self._lock, self._parent.slice():
            yield
