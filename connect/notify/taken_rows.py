"""Waits until Kafka has taken rows."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any


async def until_taken(
    sent: Iterable[asyncio.Future[Any]], silence_s: float, group_answers: Callable[[], Awaitable[bool]]
) -> bool:
    """Kafka's client tries for ever: a process that is cut off would write its rows when another has the partitions.
    False where Kafka has taken none for `silence_s` and the group does not answer either. Rows that are only slow are
    waited for: a worker that connects anew sends what it has in flight again. Raises the errors of rows."""
    left = set(sent)
    while left:
        taken, left = await asyncio.wait(left, timeout=silence_s, return_when=asyncio.FIRST_EXCEPTION)
        for each in taken:
            each.result()
        if not taken and not await group_answers():
            return False
    return True


def abandon(sent: Iterable[asyncio.Future[Any]]) -> None:
    """Nobody waits for these rows any more."""
    for each in sent:
        if not each.cancel() and not each.cancelled():
            each.exception()  # of all that fail together asyncio would tell
