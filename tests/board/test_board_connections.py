"""Limits on the connections of the board, over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from fastapi import FastAPI, Request
from starlette.responses import StreamingResponse

from board.metrics import BoardMetrics
from board.web_server import listening_socket, make_server
from streams.http_connections import ConnectionLimits
from tests.waiting import TIMEOUT_S

LIVE = b"GET /live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


class Pages:
    """A server with a page, a stream that ends when the test says so, and an address that reads a body."""

    def __init__(self) -> None:
        self.app = FastAPI()
        self.measured = BoardMetrics()
        self.end = asyncio.Event()
        self.port = 0

        @self.app.get("/live")
        async def live() -> dict[str, bool]:
            return {"live": True}

        @self.app.get("/stream")
        async def stream() -> StreamingResponse:
            async def events() -> AsyncIterator[bytes]:
                yield b"first"
                await self.end.wait()
                yield b"last"

            return StreamingResponse(events())

        @self.app.post("/form")
        async def form(request: Request) -> int:
            return len(await request.body())

    async def send(self, data: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(data)
        return reader, writer

    async def ask(self, data: bytes) -> bytes:
        reader, writer = await self.send(data)
        async with asyncio.timeout(TIMEOUT_S):
            answer = await reader.read()
        writer.close()
        return answer

    def closed_for(self, reason: str) -> float:
        return self.measured.registry.get_sample_value("sla_http_connections_closed_total", {"reason": reason}) or 0


@asynccontextmanager
async def served(limits: ConnectionLimits) -> AsyncIterator[Pages]:
    pages = Pages()
    with listening_socket("127.0.0.1", 0) as listener:
        pages.port = listener.getsockname()[1]
        server = make_server(pages.app, limits, pages.measured.http)
        running = asyncio.create_task(server.serve([listener]))
        try:
            yield pages
        finally:
            pages.end.set()
            server.should_exit = True
            await running


@pytest.mark.parametrize("half", [b"", b"GET / HT", b"POST /form HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"])
def test_half_requests_keep_no_page_and_no_stream_waiting(half: bytes) -> None:
    async def scenario() -> None:
        async with asyncio.timeout(2 * TIMEOUT_S), served(ConnectionLimits(total=10, head_s=60)) as pages:
            stream, stream_writer = await pages.send(b"GET /stream HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            await stream.readuntil(b"first")
            held = [await pages.send(half) for _ in range(60)]
            for _ in range(3):
                assert b"200 OK" in await pages.ask(LIVE)
            assert pages.closed_for("displaced") >= 50
            pages.end.set()
            assert b"last" in await stream.read()
            for _, writer in [*held, (stream, stream_writer)]:
                writer.close()

    asyncio.run(scenario())


def test_a_head_that_does_not_end_is_closed_and_a_stream_is_not() -> None:
    async def scenario() -> None:
        async with asyncio.timeout(2 * TIMEOUT_S), served(ConnectionLimits(head_s=0.5)) as pages:
            stream, stream_writer = await pages.send(b"GET /stream HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            await stream.readuntil(b"first")
            half, half_writer = await pages.send(b"GET / HT")
            assert await half.read() == b""
            assert pages.closed_for("head_timeout") == 1
            pages.end.set()
            assert b"last" in await stream.read()
            half_writer.close()
            stream_writer.close()

    asyncio.run(scenario())


def test_a_head_that_is_too_large_is_refused_before_it_ends() -> None:
    async def scenario() -> None:
        async with asyncio.timeout(2 * TIMEOUT_S), served(ConnectionLimits()) as pages:
            answer = await pages.ask(b"GET /live HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 20_000)
            assert answer.startswith(b"HTTP/1.1 400 ")

    asyncio.run(scenario())


def test_a_body_is_read_and_its_answer_written() -> None:
    async def scenario() -> None:
        async with asyncio.timeout(2 * TIMEOUT_S), served(ConnectionLimits()) as pages:
            answer = await pages.ask(
                b"POST /form HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 9\r\n\r\n123456789"
            )
            assert answer.endswith(b"9")

    asyncio.run(scenario())
