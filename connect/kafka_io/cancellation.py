"""Cancellations at a wrong time: those that nobody asked for, and those that would cut a clean-up short."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine


def cancelled_by_us() -> bool:
    """Whether this task is being cancelled: aiokafka raises the CancelledError of its own tasks too."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


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
