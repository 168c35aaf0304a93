"""Restores the state of a member's partitions beside the callbacks of its group.

aiokafka sends no heartbeats before the callback of assigned partitions returns: a member that read back in there for
longer than the session timeout would be expelled, join again, read back again, and deliver nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from streams.kafka.cancellation import CLIENT_ENDED, cancelled_by_us


class PartitionLoading:
    """What is loaded at the moment, for one membership."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None
        self._over = asyncio.Event()
        self._error: Exception | None = None
        self._closed = False

    async def begin(self, load: Callable[[], Awaitable[None]]) -> None:
        """Load in place of what is being loaded; nothing once it is closed."""
        await self.stop()
        if self._closed:
            return
        self._task = asyncio.create_task(self._run(load))

    async def stop(self) -> None:
        """The partitions are lost, or will be: they are not loaded any more."""
        self._over.clear()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def close(self) -> None:
        """The member leaves its group, which may still give it partitions meanwhile: a load of those would outlive the
        connection."""
        self._closed = True
        await self.stop()

    async def wait(self) -> None:
        """Until the partitions are loaded. Raises why they can't be."""
        await self._over.wait()
        if self._error is not None:
            raise self._error

    async def _run(self, load: Callable[[], Awaitable[None]]) -> None:
        try:
            await load()
        except asyncio.CancelledError:
            if cancelled_by_us():
                raise
            self._error = ConnectionError(CLIENT_ENDED)
        except Exception as error:
            self._error = error
        self._over.set()
