"""Runs a worker as a process: signals, health, shutdown."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Sequence
from typing import Protocol

import structlog

from streams.http_connections import ConnectionLimits, HttpMetrics
from streams.kafka.cancellation import end_of
from streams.kafka.causes import cause_of
from streams.metrics import REGISTRY, measure_process
from streams.runtime.agent_spec import AgentSpec
from streams.runtime.settings import RuntimeSettings
from streams.runtime.task_manager import TaskManager
from streams.service_process import HttpServer, health_app, stop_on_signals
from streams.time_source import TimeSource

#: What is not finished by then is fenced by the next owner.
_STOP_S = 8.0
_LIMITS = ConnectionLimits()
_HTTP_METRICS = HttpMetrics(REGISTRY)
measure_process(REGISTRY)


#: State is millions of small long-lived objects; Python's default thresholds would scan them far too often.
GC_THRESHOLDS = (100_000, 50, 100)


class Preparation(Protocol):
    """Work to do before a worker joins its group; the health endpoints are served meanwhile."""

    async def prepare(self) -> None:
        """Return when the worker may start; an error ends the worker."""
        ...

    def unready(self) -> list[dict[str, object]]:
        """Why it is not done yet; empty when it is."""
        ...


async def run_worker(
    settings: RuntimeSettings,
    agents: Sequence[AgentSpec],
    *,
    clock: TimeSource | None = None,
    health_host: str = "127.0.0.1",
    health_port: int | None = None,
    connection_limits: ConnectionLimits = _LIMITS,
    preparation: Preparation | None = None,
) -> int:
    """Work until SIGTERM or SIGINT; returns the exit code: 0 after a clean stop, 1 after a crash.

    Raises what `preparation` raised.
    """
    gc.set_threshold(*GC_THRESHOLDS)
    logger = structlog.get_logger("streams.runtime.worker")
    stop = stop_on_signals()
    manager = TaskManager(settings, agents, clock)

    def unready() -> list[dict[str, object]]:
        return [*([] if preparation is None else preparation.unready()), *manager.unready()]

    app = health_app(REGISTRY, unready, manager.crash)
    async with HttpServer(app, health_host, health_port, measured=_HTTP_METRICS, limits=connection_limits):
        if preparation is not None and not await _prepared(preparation, stop):
            return 0
        starting = asyncio.create_task(manager.start())
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait({starting, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done() and (starting.cancelled() or starting.exception() is not None):
            error = end_of(starting)
            logger.error("worker_start_failed", error=repr(error), reason=cause_of(error).text)
            stopped.cancel()
            return 1
        crashed = asyncio.create_task(manager.crashed())
        await asyncio.wait({crashed, stopped}, return_when=asyncio.FIRST_COMPLETED)
        for task in (crashed, stopped, starting):
            task.cancel()
        reason = manager.crash()
        if reason is not None:
            logger.error("worker_failed", error=type(reason).__name__, reason=str(reason))
        # Faust's services ignore a cancellation, so this waits for the time alone.
        stopping = asyncio.create_task(manager.stop())
        done, _ = await asyncio.wait({stopping}, timeout=_STOP_S)
        if not done:
            logger.error("worker_stop_timed_out", seconds=_STOP_S)
            return 1
        stopping.result()
    logger.info("worker_stopped")
    return 0 if reason is None else 1


async def _prepared(preparation: Preparation, stop: asyncio.Event) -> bool:
    """Run the preparation; False when the worker is stopped before it is done."""
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
