"""A clock that stands still."""

from __future__ import annotations

import asyncio


class Stopped:
    """Always the same instant."""

    def __init__(self, now: int) -> None:
        self._now = now

    def now(self) -> int:
        return self._now

    async def wait(self, event: asyncio.Event, until: int | None) -> None:
        raise AssertionError("nothing waits here")
