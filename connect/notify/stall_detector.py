"""Tells that this process, or its machine, stood still for so long that another may have its partitions."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from aiokafka.errors import KafkaError

from streams.errors import SlaError

_BEAT_S = 0.25


def seconds_with_suspension() -> float:
    """Seconds that never go back, and go on while the machine is suspended, where its system tells them."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


class StallDetector:
    """Detects that this process was stopped for half its session timeout or longer, as in a paused virtual machine.
    Another process may own its partitions by then, so nothing more may be written to them."""

    def __init__(self, limit_s: float, seconds: Callable[[], float]) -> None:
        self._limit_s = limit_s
        self._seconds = seconds
        self._last = seconds()
        self._lost: str | None = None

    def beat(self) -> None:
        """Call it often."""
        now = self._seconds()
        if now - self._last > self._limit_s:
            self.give_up("this process was stopped for long")
        self._last = now

    def give_up(self, reason: str) -> None:
        """From now on it counts as stopped."""
        self._lost = self._lost or reason

    def check(self) -> None:
        """Raises SlaError once the process was stopped, and from then on always."""
        self.beat()
        if self._lost:
            raise SlaError(f"{self._lost}, and another may own its partitions; its workers reconnect")

    def guarded(self, send: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        """A way to send requests to Kafka that is closed once the process was stopped: what waited in its client would
        be sent at once when it goes on."""

        async def send_unless_stopped(*given: object, **options: object) -> Any:
            try:
                self.check()
            except SlaError as error:
                raise KafkaError(str(error)) from error
            return await send(*given, **options)

        return send_unless_stopped

    async def run(self) -> None:
        """Call `beat` until cancelled."""
        while True:
            await asyncio.sleep(_BEAT_S)
            self.beat()
