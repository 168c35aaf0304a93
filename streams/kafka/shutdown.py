"""Closes aiokafka clients in bounded time: while Kafka is unavailable, their own `stop` waits for answers that do not
come."""

from __future__ import annotations

import asyncio
import contextlib
from operator import attrgetter
from types import ModuleType
from typing import Any

from streams.kafka.cancellation import cancelled_by_us
from streams.kafka.patches import AIOKAFKA

_STOP_S = 3.0


async def end_producer(producer: Any) -> None:
    """Stop a producer. Records that are not acknowledged in time fail."""
    if await _in_time(producer, "stop") or (parts := _parts()) is None:
        return
    with contextlib.suppress(Exception):
        parts.fail_unacknowledged(producer)
    for each in parts.OF_PRODUCERS:
        await _in_time(producer, each)


async def abandon_transaction(producer: Any, stop_s: float = 2.0) -> None:
    """Stop a transactional producer without ending its transaction: the next owner's fencing aborts it."""
    if await _in_time(producer, "stop", stop_s):
        return
    if (parts := _parts()) is not None:
        parts.regard_as_stopped(producer)
    await _in_time(producer, "client.close", stop_s)


async def end_consumer(consumer: Any) -> None:
    """Stop a consumer; it leaves its group if Kafka answers in time."""
    if await _in_time(consumer, "stop") or (parts := _parts()) is None:
        return
    for each in parts.OF_CONSUMERS:
        await _in_time(consumer, each)


def _parts() -> ModuleType | None:
    """The private parts of the installed aiokafka; None where they are not known."""
    if not AIOKAFKA.applied("unfinished_stops"):
        return None
    from streams.kafka.patches.for_aiokafka import unfinished_stops  # its imports need the known version

    return unfinished_stops


async def _in_time(client: Any, method: str, within_s: float = _STOP_S) -> bool:
    """Await a method, named by its path of attributes; False if it fails, takes longer, or is not there.

    aiokafka lets the cancellation of its own tasks out: that counts as a failure, unless this task is cancelled itself.
    """
    try:
        async with asyncio.timeout(within_s):
            await attrgetter(method)(client)()
            return True
    except asyncio.CancelledError:
        if cancelled_by_us():
            raise
    except Exception:
        return False
    return False
