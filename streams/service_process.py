"""What every long-running process shares: health endpoints, an HTTP server, and a stop on SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from types import TracebackType
from typing import Self, cast

import structlog
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from streams.http_connections import (
    ACCEPTED_AT_ONCE,
    BACKLOG,
    MAX_HEADER_BYTES,
    MAX_HEADERS,
    MAX_LINE_BYTES,
    READ_AHEAD_BYTES,
    ConnectionLimits,
    ConnectionTable,
    HttpMetrics,
    LimitedProtocol,
    OpenConnection,
)
from streams.http_log import ServerLog

Reasons = list[dict[str, object]]
_DEFAULT_LIMITS = ConnectionLimits()
_CLOSE_S = 1.5
#: After the last request is answered its reply is on its way for so long at most.
_REPLIES_S = 0.5


def run_process(serving: Coroutine[object, object, int]) -> int:
    """Run the coroutine of a process as asyncio.run does, and return its exit code. Clients of a Kafka that does not
    answer may keep the loop from closing; the process then ends all the same, `_CLOSE_S` after the coroutine."""
    closing = _Endings()

    async def serve() -> int:
        token = _endings.set(closing)
        try:
            code = await serving
        finally:
            _endings.reset(token)
        closing.end_after(_CLOSE_S, code)
        return code

    try:
        return asyncio.run(serve())
    finally:
        closing.cancel()


def stop_on_signals(within_s: float | None = None) -> asyncio.Event:
    """An event of the running loop that SIGTERM and SIGINT set. What `run_process` runs is over `within_s` after it,
    if that is given, whatever its stop waits for: a thread of its own ends the process, and what was not written by
    then is as after a crash."""
    stop = asyncio.Event()
    loop, endings = asyncio.get_running_loop(), _endings.get()

    def asked() -> None:
        if within_s is not None and endings is not None and not stop.is_set():
            endings.end_after(within_s, 0, "process_stop_cut_short")
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked)
    return stop


class _Endings:
    """Ends the process after a time, unless it has ended by itself."""

    def __init__(self) -> None:
        self._timers: list[threading.Timer] = []

    def end_after(self, seconds: float, code: int, event: str | None = None) -> None:
        timer = threading.Timer(seconds, _end, [code, event, seconds])
        timer.daemon = True
        timer.start()
        self._timers.append(timer)

    def cancel(self) -> None:
        for timer in self._timers:
            timer.cancel()


def _end(code: int, event: str | None, seconds: float) -> None:
    if event is not None:
        structlog.get_logger("streams.service_process").error(event, seconds=seconds)
    os._exit(code)


_endings: ContextVar[_Endings | None] = ContextVar("_endings", default=None)
"""Those of the process that `run_process` runs."""


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
    details: Callable[[], Mapping[str, object]] = dict,
) -> Sequence[web.RouteDef]:
    """`/live` (also `/healthz`): 500 once `crash` returns an error. `/ready`: 503 with the reasons while `unready`
    returns any; `details` are further fields, which change no status. `/metrics`: the registry in Prometheus' text
    format."""

    async def live(_: web.Request) -> web.Response:
        status, body = liveness(crash())
        return web.json_response(body, status=status)

    async def ready(_: web.Request) -> web.Response:
        status, body = readiness(unready())
        return web.json_response(body | dict(details()), status=status)

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return [web.get("/live", live), web.get("/healthz", live), web.get("/ready", ready), web.get("/metrics", metrics)]


def health_app(
    registry: CollectorRegistry,
    unready: Callable[[], Reasons],
    crash: Callable[[], BaseException | None] = lambda: None,
    details: Callable[[], Mapping[str, object]] = dict,
) -> web.Application:
    """An application that serves `health_routes` and nothing else."""
    app = web.Application()
    app.add_routes(health_routes(registry, unready, crash, details))
    return app


class HttpServer:
    """Serves an application while entered, within limits on connections. With port 0 the system chooses a port;
    without a port nothing is served."""

    def __init__(
        self,
        app: web.Application,
        host: str,
        port: int | None,
        *,
        measured: HttpMetrics,
        limits: ConnectionLimits = _DEFAULT_LIMITS,
        keepalive_timeout_s: float = 75.0,
        shutdown_timeout_s: float = 60.0,
    ) -> None:
        """Raises SettingsError where the process may not open so many files."""
        self.address = ""
        """host:port that connections are accepted at; empty without a port."""
        self._host = host
        self._port = port
        self._table = ConnectionTable(limits.fitting(), keepalive_timeout_s, measured)
        self._connections: dict[object, OpenConnection] = {}
        self._servers: list[asyncio.Server] = []
        self._overdue: asyncio.Task[None] | None = None
        self._shutdown_timeout_s = shutdown_timeout_s
        self._answering = 0
        self._stopping = False
        self._answered = asyncio.Event()
        """No request is being answered any more, at a stop."""
        app.middlewares.insert(0, self._answer)
        self._runner = web.AppRunner(
            app,
            access_log=None,
            keepalive_timeout=keepalive_timeout_s,
            shutdown_timeout=min(_REPLIES_S, shutdown_timeout_s),
            logger=ServerLog(measured),
            auto_decompress=False,
            max_line_size=MAX_LINE_BYTES,
            max_headers=MAX_HEADERS,
            max_field_size=MAX_HEADER_BYTES,
            read_bufsize=READ_AHEAD_BYTES,
        )

    async def __aenter__(self) -> Self:
        """Raises OSError when the address can't be used."""
        if self._port is not None:
            await self._runner.setup()
            try:
                await self._listen(self._port)
            except BaseException:
                await self._stop()
                raise
            self.address = ":".join(map(str, self._servers[0].sockets[0].getsockname()[:2]))
            self._overdue = asyncio.create_task(self._table.keep_closing_overdue())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Accept no more connections; requests that have begun are answered, for `shutdown_timeout_s` at most, also
        where their bodies are still to come."""
        if self._overdue is not None:
            self._overdue.cancel()
        await self._stop()

    async def _listen(self, port: int) -> None:
        loop = asyncio.get_running_loop()
        server = cast(Callable[[], asyncio.Protocol], self._runner.server)

        def protocol() -> LimitedProtocol:
            return LimitedProtocol(self._table, server, self._connections, lambda inner, _: inner, half_closed=True)

        found = await loop.getaddrinfo(self._host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, address in dict.fromkeys((family, address) for family, _, _, _, address in found):
            listener = socket.create_server(address, family=family, backlog=BACKLOG)
            # asyncio accepts `backlog` connections before it closes any; the system has to hold more of them ready.
            self._servers.append(await loop.create_server(protocol, sock=listener, backlog=ACCEPTED_AT_ONCE))
            listener.listen(BACKLOG)

    async def _stop(self) -> None:
        for server in self._servers:
            server.close()
        self._stopping = True
        if self._answering:  # from the beginning of its cleanup on, aiohttp reads nothing more of any body
            with suppress(TimeoutError):
                async with asyncio.timeout(self._shutdown_timeout_s):
                    await self._answered.wait()
        await self._runner.cleanup()

    @web.middleware
    async def _answer(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        connection = self._connections.get(request.protocol)
        if connection is None:  # closed meanwhile
            raise ConnectionResetError("the connection was closed")
        body, now = request.content, asyncio.get_running_loop().time
        with (
            self._counted(),
            self._table.answering(connection, body.is_eof, now, lambda: body.total_bytes),
        ):
            codings = ",".join(request.headers.getall("Transfer-Encoding", [])).lower()
            if codings.strip() not in ("", "chunked"):
                reason = "Transfer-Encoding: only chunked is understood; send the body without other codings"
                response = web.json_response({"error": reason}, status=501)
                response.force_close()
                return response
            answer = await handler(request)
            if self._stopping:
                answer.force_close()
            return answer

    @contextmanager
    def _counted(self) -> Iterator[None]:
        self._answering += 1
        try:
            yield
        finally:
            self._answering -= 1
            if self._stopping and not self._answering:
                self._answered.set()
