"""Liveness, readiness and metrics over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from streams.runtime.metrics import REGISTRY


class Health:
    """Serves /live, /ready and /metrics while entered; does nothing without a port."""

    def __init__(
        self,
        unready: Callable[[], list[dict[str, object]]],
        crash: Callable[[], BaseException | None],
        host: str,
        port: int | None,
    ) -> None:
        self._unready = unready
        self._crash = crash
        self._host = host
        self._port = port
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        if self._port is not None:
            app = web.Application()
            app.add_routes(
                [
                    web.get("/live", self._run),
                    web.get("/ready", self._ready),
                    web.get("/metrics", self._metrics),
                ]
            )
            self._runner = web.AppRunner(app, access_log=None)
            await self._runner.setup()
            await web.TCPSite(self._runner, self._host, self._port).start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _run(self, _: web.Request) -> web.Response:
        reason = self._crash()
        if reason is not None:
            return web.json_response({"live": False, "reason": repr(reason)}, status=500)
        return web.json_response({"live": True})

    async def _ready(self, _: web.Request) -> web.Response:
        reasons = self._unready()
        return web.json_response({"ready": not reasons, "reasons": reasons}, status=503 if reasons else 200)

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=generate_latest(REGISTRY), headers={"Content-Type": CONTENT_TYPE_LATEST})
