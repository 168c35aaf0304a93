"""The board's web server: within limits on connections, on a socket that is open before the server starts."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import uvicorn
from fastapi import FastAPI

from board.connections import ConnectionLimiter
from streams.http_connections import ACCEPTED_AT_ONCE, BACKLOG, ConnectionLimits, HttpMetrics

#: Requests in progress may take this long once the process is to stop.
FINISH_S = 4
_KEEP_ALIVE_S = 5


class BoardServer(uvicorn.Server):
    """Leaves signals to the process, which ends event streams before the server waits for its connections."""

    def __init__(self, config: uvicorn.Config, limiter: ConnectionLimiter) -> None:
        super().__init__(config)
        self._limiter = limiter

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        overdue = asyncio.create_task(self._limiter.close_overdue())
        try:
            await super().serve(sockets)
        finally:
            overdue.cancel()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for each in sockets or []:
            each.listen(BACKLOG)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def make_server(
    app: FastAPI, limits: ConnectionLimits, measured: HttpMetrics, *, keep_alive_s: int = _KEEP_ALIVE_S
) -> BoardServer:
    """A connection without a request is closed after `keep_alive_s`. Raises SettingsError where the process may not
    open so many files."""
    limiter = ConnectionLimiter(limits, keep_alive_s, measured)
    config = uvicorn.Config(
        limiter.limited(app),
        http=cast(type[asyncio.Protocol], limiter.protocol),
        ws="none",  # a web socket would leave the protocol that counts its connection
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="off",
        backlog=ACCEPTED_AT_ONCE,
        timeout_keep_alive=keep_alive_s,
        timeout_graceful_shutdown=FINISH_S,
    )
    return BoardServer(config, limiter)


@contextmanager
def listening_socket(host: str, port: int) -> Iterator[socket.socket]:
    """Raises OSError when the address can't be used."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns Nagle's algorithm off only for sockets that name TCP; with it on, each answer takes 40 ms longer.
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen()
        yield listener


def url_of(listener: socket.socket) -> str:
    """http://HOST:PORT."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
