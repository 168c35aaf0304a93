"""Running a host as a process: signals, health, a clean end."""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Sequence
from typing import Protocol

import structlog

from streams.runtime.health import Health
from streams.runtime.host import AgentSpec, Host
from streams.runtime.settings import RuntimeSettings
from streams.time_source import TimeSource

_STOP_S = 30.0


#: State is millions of small long-lived objects: Python's own thresholds would walk them all over and over.
GC_THRESHOLDS = (100_000, 50, 100)


class Preparation(Protocol):
    """What has to be done before a worker joins its group, while it already says how it is."""

    async def prepare(self) -> None:
        """Returns when the worker may begin; what it raises ends the worker."""
        ...

    def unready(self) -> list[dict[str, object]]:
        """Why that is not done yet; empty when it is."""
        ...


async def run_worker(
    settings: RuntimeSettings,
    agents: Sequence[AgentSpec],
    *,
    clock: TimeSource | None = None,
    health_host: str = "127.0.0.1",
    health_port: int | None = None,
    preparation: Preparation | None = None,
) -> int:
    """Work until SIGTERM or SIGINT; returns the exit code: 0 after a clean stop, 1 after a crash.

    Raises what `preparation` raised.
    """
    gc.set_threshold(*GC_THRESHOLDS)
    logger = structlog.get_logger("streams.runtime.worker")
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    host = Host(settings, agents, clock)

    def unready() -> list[dict[str, object]]:
        return [*([] if preparation is None else preparation.unready()), *host.unready()]

    async with Health(unready, host.crash, health_host, health_port):
        if preparation is not None and not await _prepared(preparation, stop):
            return 0
        starting = asyncio.create_task(host.start())
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait({starting, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done() and (error := starting.exception()) is not None:
            logger.error("worker could not start", error=repr(error))
            stopped.cancel()
            return 1
        crashed = asyncio.create_task(host.crashed())
        await asyncio.wait({crashed, stopped}, return_when=asyncio.FIRST_COMPLETED)
        for task in (crashed, stopped, starting):
            task.cancel()
        reason = host.crash()
        if reason is not None:
            logger.error("worker can't go on", error=type(reason).__name__, reason=str(reason))
        try:
            async with asyncio.timeout(_STOP_S):
                await host.stop()
        except TimeoutError:
            logger.exception("worker did not stop in time", seconds=_STOP_S)
            return 1
    logger.info("worker stopped")
    return 0 if reason is None else 1


async def _prepared(preparation: Preparation, stop: asyncio.Event) -> bool:
    """Whether it came to its end; False when the worker is to stop before."""
    preparing, stopped = asyncio.create_task(preparation.prepare()), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({preparing, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if preparing.done():
            preparing.result()
        return preparing.done()
    finally:
        for task in (preparing, stopped):
            task.cancel()
        await asyncio.gather(preparing, stopped, return_exceptions=True)
