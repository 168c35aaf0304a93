"""Ends aiokafka's clients in bounded time: with Kafka away their own stop waits for what can't be done."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from aiokafka.errors import KafkaError

_FAREWELL_S = 3.0


async def end_producer(producer: Any) -> None:
    """What is not acknowledged in time is given up; whoever sent it knows that it was not."""
    if await _in_time(producer.stop()):
        return
    with contextlib.suppress(Exception):
        producer._message_accumulator.fail_all(KafkaError("given up"))
    await _in_time(producer._sender.close())
    await _in_time(producer.client.close())


async def end_consumer(consumer: Any) -> None:
    """Leaves its group if that is possible in time."""
    if not await _in_time(consumer.stop()):
        await _in_time(consumer._client.close())


async def _in_time(ending: Any) -> bool:
    with contextlib.suppress(Exception):
        async with asyncio.timeout(_FAREWELL_S):
            await ending
            return True
    return False
