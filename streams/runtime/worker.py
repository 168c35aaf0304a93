"""Running a host as a process: signals, health, a clean end."""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Sequence

import structlog

from streams.clock import Clock
from streams.runtime.health import Health
from streams.runtime.host import AgentSpec, Host
from streams.runtime.settings import RuntimeSettings

_STOP_S = 30.0


async def run_worker(
    settings: RuntimeSettings,
    agents: Sequence[AgentSpec],
    *,
    clock: Clock | None = None,
    health_host: str = "127.0.0.1",
    health_port: int | None = None,
) -> int:
    """Work until SIGTERM or SIGINT; returns the exit code: 0 after a clean stop, 1 after a crash."""
    # State is millions of small long-lived objects: the default thresholds would walk them all over and over.
    gc.set_threshold(100_000, 50, 100)
    logger = structlog.get_logger("streams.runtime.worker")
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    host = Host(settings, agents, clock)
    async with Health(host.unready, host.crash, health_host, health_port):
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
