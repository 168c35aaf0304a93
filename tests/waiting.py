"""How tests wait for what other threads and processes do: for a state, with time for a machine under load."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from random import Random  # noqa: TID251 -- seeded
from typing import Any

from tests.chaos.loop import Loop

#: A wait that succeeds costs nothing, so this is far beyond what any state takes.
TIMEOUT_S = 120.0


def wait(condition: Callable[[], object], why: Callable[[], object] | None = None, *, every_s: float = 0.05) -> None:
    """Until the condition holds; it fails with `why()` when that does not happen within TIMEOUT_S. A condition that
    takes long is looked at less often: it has the processor of those that are waited for."""
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        asked = time.monotonic()
        if condition():
            return
        now = time.monotonic()
        assert now < deadline, "it did not come to that" if why is None else why()
        time.sleep(max(every_s, min(2 * (now - asked), 1.0)))


def in_virtual_time(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Where times are compared: time moves only when nobody can run, so that no step takes any, on whichever machine.
    Without sockets and threads."""
    loop = Loop(Random(1))
    try:
        loop.run(scenario())
    finally:
        loop.bury()


async def until(condition: Callable[[], object]) -> None:
    """The same in an event loop."""
    async with asyncio.timeout(TIMEOUT_S):
        while not condition():
            await asyncio.sleep(0.002)
