"""Reads request bodies within limits on size, time and memory."""

from __future__ import annotations

import asyncio

from aiohttp import web

from connect.intake.byte_budget import ByteBudget
from connect.intake.web.responses import RequestRejected, retry_after
from streams.sla.instants import SECOND

_CHUNK_BYTES = 64 * 1024
_RETRY_SOON_S = 1
_UNPROVEN_SHARE = 8


class BodyReader:
    """Reads bodies. The caller reserves a body's bytes before it is read and releases them when the request is over."""

    def __init__(self, max_body: int, budget: ByteBudget, timeout_us: int) -> None:
        self.budget = budget
        self.unproven = ByteBudget(max(budget.limit // _UNPROVEN_SHARE, max_body))
        """For bodies that prove their sender by a signature: anyone may begin to send one."""
        self._max_body = max_body
        self._timeout_s = timeout_us / SECOND

    def reserve(self, request: web.Request, budget: ByteBudget) -> int:
        """Reserve the body's declared length, or the largest allowed when none is declared; returns the bytes.

        Raises RequestRejected 413, 415, 503.
        """
        if request.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise RequestRejected(
                415, "Content-Encoding: send the body uncompressed; signatures and limits are over its bytes"
            )
        size = self._max_body if request.content_length is None else request.content_length
        if size > self._max_body:
            raise RequestRejected(413, f"the body has {size:,} bytes; at most {self._max_body:,} are allowed")
        if not budget.reserve(size):
            raise retry_after(503, "too many requests are being read; send it again", _RETRY_SOON_S)
        return size

    async def read(self, request: web.Request) -> bytes:
        """The body. Raises RequestRejected 408, 413."""
        chunks, size = [], 0
        try:
            async with asyncio.timeout(self._timeout_s):
                async for chunk in request.content.iter_chunked(_CHUNK_BYTES):
                    size += len(chunk)
                    if size > self._max_body:
                        raise RequestRejected(
                            413, f"the body has more than {self._max_body:,} bytes", {"Connection": "close"}
                        )
                    chunks.append(chunk)
        except TimeoutError:
            reason = f"the body did not arrive within {self._timeout_s:g} s"
            raise RequestRejected(408, reason, {"Connection": "close"}) from None
        return b"".join(chunks)
