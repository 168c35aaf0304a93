"""Cancellations that nobody asked for: aiokafka raises the CancelledError of its own tasks to their awaiters too."""

from __future__ import annotations

import asyncio


def cancelled_by_us() -> bool:
    """Whether this task is being cancelled."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
