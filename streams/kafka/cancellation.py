"""Cancellations that nobody asked for: aiokafka raises the CancelledError of its own tasks to whoever awaits them."""

from __future__ import annotations

import asyncio

#: Why work ended that nobody cancelled.
CLIENT_ENDED = "a client of Kafka gave up"


def cancelled_by_us() -> bool:
    """Whether the current task is being cancelled."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def end_of(task: asyncio.Task[None]) -> BaseException:
    """Why a task ended that runs until it is stopped."""
    error = asyncio.CancelledError() if task.cancelled() else task.exception()
    return error or RuntimeError(f"{task.get_name()} ended")
