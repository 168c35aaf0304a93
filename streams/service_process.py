"""What every long-running process shares: health endpoints, an HTTP server, and a stop on SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

Reasons = list[dict[str, object]]


def stop_on_signals() -> asyncio.Event:
    """An event of the running loop that SIGTERM and SIGINT set."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


def liveness(reason: BaseException | None) -> tuple[int, dict[str, object]]:
    """Status and JSON of `/live`: 500 once there is a `reason` to restart the process."""
    return (200, {"live": True}) if reason is None else (500, {"live": False, "reason": repr(reason)})


def readiness(reasons: Reasons) -> tuple[int, dict[str, object]]:
    """Status and JSON of `/ready`: 503 while there are `reasons`."""
    return (503 if reasons else 200), {"ready": not reasons, "reasons": reasons}


def health_routes(
    registry: CollectorRegistry,
    unready: Callable[[], Reasons],
    crash: Callable[[], BaseException | None] = lambda: None,
) -> Sequence[web.RouteDef]:
    """`/live` (also `/healthz`): 500 once `crash` returns an error. `/ready`: 503 with the reasons while `unready`
    returns any. `/metrics`: the registry in Prometheus' text format."""

    async def live(_: web.Request) -> web.Response:
        status, body = liveness(crash())
        return web.json_response(body, status=status)

    async def ready(_: web.Request) -> web.Response:
        status, body = readiness(unready())
        return web.json_response(body, status=status)

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return [web.get("/live", live), web.get("/healthz", live), web.get("/ready", ready), web.get("/metrics", metrics)]


def health_app(
    registry: CollectorRegistry,
    unready: Callable[[], Reasons],
    crash: Callable[[], BaseException | None] = lambda: None,
) -> web.Application:
    """An application that serves `health_routes` and nothing else."""
    app = web.Application()
    app.add_routes(health_routes(registry, unready, crash))
    return app


class HttpServer:
    """Serves an application while entered. With port 0 the system chooses a port; without a port nothing is served."""

    def __init__(
        self,
        app: web.Application,
        host: str,
        port: int | None,
        *,
        keepalive_timeout_s: float = 75.0,
        shutdown_timeout_s: float = 60.0,
    ) -> None:
        self.address = ""
        """host:port that connections are accepted at; empty without a port."""
        self._host = host
        self._port = port
        self._runner = web.AppRunner(
            app, access_log=None, keepalive_timeout=keepalive_timeout_s, shutdown_timeout=shutdown_timeout_s
        )

    async def __aenter__(self) -> Self:
        """Raises OSError when the address can't be used."""
        if self._port is not None:
            await self._runner.setup()
            try:
                await web.TCPSite(self._runner, self._host, self._port).start()
            except BaseException:
                await self._runner.cleanup()
                raise
            self.address = ":".join(map(str, self._runner.addresses[0][:2]))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Accept no more connections; requests in progress are answered, for `shutdown_timeout_s` at most."""
        await self._runner.cleanup()
