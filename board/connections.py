"""Limits on the connections of the board (streams/http_connections.py), for uvicorn, which has none."""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from streams.http_connections import ConnectionLimits, ConnectionTable, HttpMetrics, LimitedProtocol, OpenConnection


class ConnectionLimiter:
    """Makes a server's protocols, and tells their connections when a request is complete and answered."""

    def __init__(self, limits: ConnectionLimits, keepalive_s: float, measured: HttpMetrics) -> None:
        """Raises SettingsError where the process may not open so many files."""
        self._table = ConnectionTable(limits.fitting(), keepalive_s, measured)
        self._connections: dict[object, OpenConnection] = {}

    def protocol(self, **given: object) -> asyncio.BufferedProtocol:
        """The protocol of one connection; `given` is what uvicorn passes to its own."""
        return LimitedProtocol(self._table, lambda: AutoHTTPProtocol(**given), self._connections, _ends)

    def limited(self, app: ASGIApp) -> ASGIApp:
        """The application, whose requests the connections know."""

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            connection = self._connections.get((scope.get("client"), scope.get("server")))
            if connection is None:
                await app(scope, receive, send)
                return
            complete = not any(name in (b"content-length", b"transfer-encoding") for name, _ in scope["headers"])

            async def received() -> Message:
                nonlocal complete
                message = await receive()
                complete = complete or not message.get("more_body", False)
                return message

            with self._table.answering(connection, lambda: complete, asyncio.get_running_loop().time):
                await app(scope, received, send)

        return answer

    async def close_overdue(self) -> None:
        """Close connections whose time is over, until cancelled."""
        await self._table.keep_closing_overdue()


def _ends(_: object, transport: asyncio.BaseTransport) -> object:
    """Both ends of a connection, as a request names them."""
    ends = (transport.get_extra_info(name) for name in ("peername", "sockname"))
    return tuple(tuple(end[:2]) if isinstance(end, tuple) else None for end in ends)
