"""Measures requests: how long answers take, and how many event streams are open."""

from __future__ import annotations

from time import perf_counter

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from board.event_stream import EventStream
from board.metrics import BoardMetrics

_SURFACES = {"api": "api", "static": "static", **dict.fromkeys(("live", "healthz", "ready", "metrics"), "health")}


class RequestMetrics:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, metrics: BoardMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status, streams = perf_counter(), 500, False

        async def send_measured(message: Message) -> None:
            nonlocal status, streams
            if message["type"] == "http.response.start":
                status = message["status"]
                kind = Headers(raw=message["headers"]).get("content-type", "")
                if kind.startswith(EventStream.media_type):
                    streams = True
                    self._metrics.streams.inc()
            await send(message)

        try:
            await self._app(scope, receive, send_measured)
        finally:
            if streams:
                self._metrics.streams.dec()
            else:
                surface = _SURFACES.get(scope["path"].lstrip("/").partition("/")[0], "page")
                duration = self._metrics.request_seconds.labels(surface, f"{status // 100}xx")
                duration.observe(perf_counter() - began)
