"""Limits on the connections of an HTTP server: how many are open, and how long a request may take to arrive.

Neither aiohttp nor uvicorn has such limits. Each connection has a protocol of this module around the server's own; only
public methods of both are called.
"""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import cast

import structlog
from prometheus_client import CollectorRegistry

from streams import metrics
from streams.errors import SettingsError
from streams.log_damper import LogDamper

#: How many connections asyncio accepts before it closes any, and how many the system holds ready meanwhile.
ACCEPTED_AT_ONCE, BACKLOG = 8, 1024
#: Of the head of a request that aiohttp reads: its first line, its headers, and each of them. h11, which reads those of
#: the board, keeps at most 16 KiB of a head that is not complete.
MAX_LINE_BYTES, MAX_HEADERS, MAX_HEADER_BYTES = 8190, 64, 4096
#: Of a whole head. In memory it takes twice as much, for anybody who may open a connection.
MAX_HEAD_BYTES = 32 * 1024
#: aiohttp reads twice as much of a body as this before the body is asked for. By default that is 512 KiB.
READ_AHEAD_BYTES = 16 * 1024
_MOST_CONNECTIONS = 2048
#: Bytes of one connection that are read before others have their turn.
_READ_AT_ONCE = 4 * 1024
#: Steps of the event loop in which a request that has arrived begins to be answered: two, or three where it followed
#: another one at once.
_BEGINS_WITHIN = 8
#: Open files that connections leave to Kafka, to files, and to connections that are accepted and not closed yet.
_OTHER_FILES = 64
_LOG_EVERY_S = 60.0


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """`total` connections, `per_address` of them from one address (IPv6: one /64 network); 0 is the default or, for
    an address, half of the total. `head_s`: seconds in which the head of a request has to arrive."""

    total: int = 0
    per_address: int = 0
    head_s: float = 10.0

    def fitting(self, open_files: int | None = None) -> ConnectionLimits:
        """The limits without defaults. `open_files` is how many files the process may open; None: ask the system.

        By default, connections have half of the open files, 2,048 at most. Raises SettingsError where they do not fit.
        """
        if open_files is None:
            soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
            open_files = 2 * _MOST_CONNECTIONS if soft == resource.RLIM_INFINITY else soft
        total = self.total or max(min(open_files // 2, _MOST_CONNECTIONS), 1)
        if self.total and total + _OTHER_FILES > open_files:
            raise SettingsError(
                f"SLA_HTTP_MAX_CONNECTIONS is {total:,}, but this process may open {open_files:,} files and needs"
                f" {_OTHER_FILES} for other purposes; lower the setting or raise `ulimit -n`"
            )
        per_address = min(self.per_address or max(total // 2, 1), total)
        return ConnectionLimits(total, per_address, self.head_s)


class HttpMetrics:
    """The metrics of one HTTP server."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.connections = metrics.HTTP_CONNECTIONS.gauge(registry)
        self.closed = metrics.HTTP_CONNECTIONS_CLOSED.counter(registry)
        self.malformed = metrics.HTTP_MALFORMED.counter(registry)


class OpenConnection:
    """An accepted connection: waiting for a request, or answering one."""

    def __init__(self, network: str, close: Callable[[], None], deadline: float) -> None:
        self.network = network
        self.close = close
        self.deadline = deadline
        """When it is closed if no head of a request is complete by then."""
        self.reason = "head_timeout"
        self.complete: Callable[[], bool] | None = None
        """Whether the request that is being answered has arrived as a whole; None between requests."""
        self.previous_complete: Callable[[], bool] = lambda: True
        """The same of the request before: its body may still arrive after the answer."""
        self.body_bytes: Callable[[], int] | None = None
        """How much of the body of that request has arrived; None where the server bounds what arrives beside it."""
        self.head_bytes = 0
        """What has arrived in a row that is of no body: of the next head, or of the framing of a body in chunks."""
        self._progress = -1
        self.answered: Callable[[], None] = lambda: None
        """Called after each answer."""

    @property
    def closable(self) -> bool:
        """Whether it has no complete request: nothing is lost that a sender could not send again."""
        return self.complete is None or not self.complete()

    def count(self, size: int) -> None:
        """Count bytes that have arrived. What belongs to chunks, as trailers do, has no limit of its own in aiohttp."""
        whole = self.previous_complete()
        if not whole and self.body_bytes is None:
            return
        progress = -1 if whole or self.body_bytes is None else self.body_bytes()
        if progress != self._progress:
            self._progress, self.head_bytes = progress, 0
        self.head_bytes += size


class ConnectionTable:
    """The open connections. Where one too many is opened, the connection that has waited for a complete request for
    the longest time is closed, so that a sender of half a request never keeps others out. Times are in seconds."""

    def __init__(self, limits: ConnectionLimits, keepalive_s: float, measured: HttpMetrics) -> None:
        self.limits = limits
        self._keepalive_s = keepalive_s
        self._metrics = measured
        self.buffer = memoryview(bytearray(_READ_AT_ONCE))
        self._open: dict[OpenConnection, None] = {}
        """In the order in which they began to wait for their present request."""
        self._of_network: dict[str, int] = {}
        self._damper = LogDamper(_LOG_EVERY_S)
        self._log = structlog.get_logger("streams.http")

    def __len__(self) -> int:
        return len(self._open)

    def open(self, address: str | None, close: Callable[[], None], now: float) -> OpenConnection | None:
        """Count a connection that `close` closes at once. None where there is no place for it: refuse it."""
        network = network_of(address)
        if self._of_network.get(network, 0) >= self.limits.per_address:
            placed = self._make_place(network, now)
        else:
            placed = len(self._open) < self.limits.total or self._make_place(None, now)
        if not placed:
            self._report("refused", network, now)
            return None
        connection = OpenConnection(network, close, now + self.limits.head_s)
        self._open[connection] = None
        self._of_network[network] = self._of_network.get(network, 0) + 1
        self._metrics.connections.set(len(self._open))
        return connection

    def received(self, connection: OpenConnection, now: float, size: int = 0) -> bool:
        """`size` bytes have arrived: the head of the next request has to be complete within its time and its size, and
        what is no part of a body has that size too. False where it is too large: the connection is closed."""
        if connection.complete is None and connection.reason != "head_timeout":
            connection.deadline, connection.reason = now + self.limits.head_s, "head_timeout"
        if connection.closable:
            connection.count(size)
            if connection.head_bytes > MAX_HEAD_BYTES:
                self._close(connection, "head_too_large", now)
                return False
        return True

    @contextmanager
    def answering(
        self,
        connection: OpenConnection,
        complete: Callable[[], bool],
        now: Callable[[], float],
        body_bytes: Callable[[], int] | None = None,
    ) -> Iterator[None]:
        """The head of a request is complete; the block answers it and may take any time. `complete`: whether its body
        has arrived too; `body_bytes`: how much of it has."""
        connection.complete = connection.previous_complete = complete
        connection.body_bytes = body_bytes
        connection.head_bytes = 0
        try:
            yield
        finally:
            connection.complete = None
            # The server closes an idle connection a moment earlier; this closes one whose client does not read.
            connection.deadline, connection.reason = now() + self._keepalive_s + 1, "answer_not_read"
            if connection in self._open:
                del self._open[connection]
                self._open[connection] = None
            connection.answered()

    def close_overdue(self, now: float) -> None:
        """Close the connections whose time is over."""
        for connection in [each for each in self._open if each.complete is None and each.deadline <= now]:
            self._close(connection, connection.reason, now)

    async def keep_closing_overdue(self) -> None:
        """Close them once a second, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(1)
            self.close_overdue(loop.time())

    def forget(self, connection: OpenConnection) -> None:
        """The connection is closed."""
        if connection not in self._open:
            return
        del self._open[connection]
        self._of_network[connection.network] -= 1
        if not self._of_network[connection.network]:
            del self._of_network[connection.network]
        self._metrics.connections.set(len(self._open))

    def _make_place(self, network: str | None, now: float) -> bool:
        for connection in self._open:
            if connection.closable and network in (None, connection.network):
                self._close(connection, "displaced", now)
                return True
        return False

    def _close(self, connection: OpenConnection, reason: str, now: float) -> None:
        self.forget(connection)
        connection.close()
        self._report(reason, connection.network, now)

    def _report(self, reason: str, network: str, now: float) -> None:
        self._metrics.closed.labels(reason).inc()
        left_out = self._damper.admit(reason, now)
        if left_out is not None:
            self._log.warning(
                "connection_closed",
                reason=reason,
                address=network,
                open=len(self._open),
                limit=self.limits.total,
                limit_per_address=self.limits.per_address,
                left_out=left_out,
            )


class LimitedProtocol(asyncio.BufferedProtocol):
    """One connection: an entry of the table, and the protocol that answers its requests. It reads a little at a time,
    for a body in chunks of a byte each takes a hundred times as long to read as any other.

    With `half_closed`, a client that sends nothing more (`shutdown(SHUT_WR)`, as `nc -N` does) gets the answers to what
    it has sent. For the system that is the same as a client that is gone, so event streams are better off without.
    """

    def __init__(
        self,
        table: ConnectionTable,
        answered_by: Callable[[], asyncio.Protocol],
        connections: dict[object, OpenConnection],
        key_of: Callable[[asyncio.Protocol, asyncio.BaseTransport], object],
        *,
        half_closed: bool = False,
    ) -> None:
        """`connections` has the entry while the connection is open, under what `key_of` makes of protocol and
        transport."""
        self._table = table
        self._answered_by = answered_by
        self._connections = connections
        self._key_of = key_of
        self._half_closed = half_closed
        self._key: object = None
        self._stream: asyncio.Transport | None = None
        self._inner: asyncio.Protocol | None = None
        self._connection: OpenConnection | None = None
        self._now = asyncio.get_running_loop().time

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        stream = cast(asyncio.Transport, transport)
        peer = stream.get_extra_info("peername")
        self._connection = self._table.open(peer[0] if peer else None, stream.abort, self._now())
        if self._connection is None:
            stream.abort()
            return
        self._stream = stream
        self._inner = self._answered_by()
        self._key = self._key_of(self._inner, transport)
        self._connections[self._key] = self._connection
        self._inner.connection_made(transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the event loop writes what it reads next. It tells of it before it reads of any other connection."""
        return self._table.buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._inner is None or self._connection is None:
            return
        if self._table.received(self._connection, self._now(), nbytes):
            self._inner.data_received(bytes(self._table.buffer[:nbytes]))

    def eof_received(self) -> bool | None:
        if self._inner is None or self._connection is None:
            return None
        stays_open = self._inner.eof_received()
        if not self._half_closed:
            return stays_open
        self._connection.answered = self._close_when_answered
        self._close_when_answered()
        return True

    def _close_when_answered(self, steps: int = _BEGINS_WITHIN) -> None:
        """Close the connection where the rest of a body is missing, or where no answer is being made and none has begun
        for so many steps of the event loop."""
        if self._connection is None or self._stream is None:
            return
        answering = self._connection.complete is not None
        if answering and not self._connection.closable:
            return  # called again after the answer
        if steps and not answering:
            asyncio.get_running_loop().call_soon(self._close_when_answered, steps - 1)
        else:
            self._stream.close()

    def pause_writing(self) -> None:
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        if self._inner is not None:
            self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._inner is not None and self._connection is not None:
            self._table.forget(self._connection)
            del self._connections[self._key]
            self._inner.connection_lost(exc)


def network_of(address: str | None) -> str:
    """An IPv4 address, or the /64 of an IPv6 address: that is what one sender commonly has."""
    try:
        found = ip_address((address or "").partition("%")[0])
    except ValueError:
        return ""
    if found.version == 4:
        return str(found)
    return str(found.ipv4_mapped or ip_network((int(found), 128)).supernet(new_prefix=64))
