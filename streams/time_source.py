"""The only module that reads a clock (R11, R32); everything else gets a TimeSource."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

_LONGEST_WAIT_S = 1.0  # a wall clock can be stepped, so check again at least this often


class PresentTime(Protocol):
    """Wall time in microseconds since the epoch, UTC."""

    def now(self) -> int:
        """The present instant."""
        ...


class TimeSource(PresentTime, Protocol):
    """Wall time, and waiting by it."""

    async def wait(self, event: asyncio.Event, until: int | None) -> None:
        """Return when `event` is set or, at the latest, soon after `until`; may return early: a wake-up is a hint."""
        ...


class SystemTimeSource:
    """The machine's clock."""

    def now(self) -> int:
        """The present instant, from the operating system."""
        return time.time_ns() // 1_000  # noqa: TID251

    async def wait(self, event: asyncio.Event, until: int | None) -> None:
        """Wait for `event`, no longer than to `until`."""
        if until is None:
            await event.wait()
            return
        timeout_s = min(max((until - self.now()) / 1_000_000, 0.0), _LONGEST_WAIT_S)
        try:
            async with asyncio.timeout(timeout_s):
                await event.wait()
        except TimeoutError:
            pass


async def pause(clock: TimeSource, event: asyncio.Event, seconds: float) -> None:
    """Wait for `event`, no longer than that, by what passes from look to look: a clock that is set back by an hour must
    not add an hour."""
    left, now = int(seconds * 1_000_000), clock.now()
    while not event.is_set() and left > 0:
        before = now
        await clock.wait(event, before + left)
        now = clock.now()
        left -= max(now - before, 0)
