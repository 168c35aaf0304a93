"""Closes aiokafka clients in bounded time: while Kafka is unavailable, their own `stop` waits for answers that do not
come."""

from __future__ import annotations

import asyncio
import contextlib
from operator import attrgetter
from typing import Any

from aiokafka.errors import KafkaError

_STOP_S = 3.0


async def end_producer(producer: Any) -> None:
    """Stop a producer. Records that are not acknowledged in time fail."""
    if await _in_time(producer, "stop"):
        return
    with contextlib.suppress(Exception):
        producer._message_accumulator.fail_all(KafkaError("given up"))
    await _in_time(producer, "_sender.close")
    await _in_time(producer, "client.close")


async def abandon_transaction(producer: Any, stop_s: float = 2.0) -> None:
    """Stop a transactional producer without ending its transaction: the next owner's fencing aborts it."""
    if await _in_time(producer, "stop", stop_s):
        return
    producer._closed = True  # keeps aiokafka from warning that the producer was not stopped
    await _in_time(producer, "client.close", stop_s)


async def end_consumer(consumer: Any) -> None:
    """Stop a consumer; it leaves its group if Kafka answers in time."""
    if await _in_time(consumer, "stop"):
        return
    # A stop that is cut short leaves tasks behind that ask for the group's coordinator for as long as the process runs.
    for part in ("_stop_heartbeat_task", "_stop_commit_offsets_refresh_task"):
        await _in_time(consumer, f"_coordinator.{part}")
    await _in_time(consumer, "_fetcher.close")
    await _in_time(consumer, "_client.close")


async def _in_time(client: Any, method: str, within_s: float = _STOP_S) -> bool:
    """Await a method, named by its path of attributes; False if it fails, takes longer, or is not there.

    aiokafka lets the cancellation of its own tasks out: that counts as a failure, unless this task is cancelled itself.
    """
    try:
        async with asyncio.timeout(within_s):
            await attrgetter(method)(client)()
            return True
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
    except Exception:
        return False
    return False
