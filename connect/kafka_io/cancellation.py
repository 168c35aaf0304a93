"""Cancellations at a wrong time: those that nobody asked for, and those that would cut a clean-up short; and work that
goes on in spite of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import NoReturn

from streams.kafka.cancellation import cancelled_by_us


async def keep_running(
    work: Callable[[], Awaitable[object]],
    failed: Callable[[Exception | asyncio.CancelledError], None],
    every_s: float,
) -> NoReturn:
    """Run `work` until it fails, tell what ended it, and run it again `every_s` later, until cancelled. A cancellation
    that nobody asked for is a failure (`CLIENT_ENDED`)."""
    while True:
        try:
            await work()
        except asyncio.CancelledError as error:
            if cancelled_by_us():
                raise
            failed(error)
        except Exception as error:
            failed(error)
        await asyncio.sleep(every_s)


async def finish(work: Coroutine[object, object, None]) -> None:
    """Await a clean-up that ends by itself. A cancellation meanwhile does not reach it, and is raised after it."""
    task, cancelled = asyncio.ensure_future(work), False
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        raise asyncio.CancelledError
    task.result()
