"""Reads request bodies within limits on size, time and memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager

from aiohttp import web

from connect.intake.byte_budget import BudgetShares, ByteBudget, SourceBudgets, reserve_all
from connect.intake.formats.registry import MAX_SIGNED_BODY
from connect.intake.web.responses import RequestRejected, retry_after
from streams.http_connections import READ_AHEAD_BYTES, network_of
from streams.sla.instants import SECOND

_RETRY_SOON_S = 1
_UNPROVEN_SHARE = 4
#: Of the memory for proven bodies, and of that for unproven ones.
_SOURCE_SHARE = 2
_ADDRESS_SHARE = 4
#: What every source can always have of the memory for proven bodies, and the share of that memory for all of them.
_MINIMUM = 1024 * 1024
_MINIMUMS_SHARE = 4
#: A body that has been arriving for so long makes room for others where its budget is used up.
_EVICT_AFTER_S = 1.0


class ReceivedBody:
    """A body, and the budgets in which its bytes are reserved."""

    def __init__(self, budgets: Sequence[ByteBudget], proven: Sequence[ByteBudget]) -> None:
        self.content = b""
        self.size = 0
        self.budgets = budgets
        self.released = asyncio.Event()
        self._proven = proven

    def reserve(self, size: int) -> ByteBudget | None:
        """Reserve bytes that have arrived in every budget; else in none, and the budget that is used up is returned."""
        used_up = reserve_all(self.budgets, size)
        if used_up is None:
            self.size += size
        return used_up

    def prove(self) -> ByteBudget | None:
        """The body has proven its sender: its bytes no longer count among the unproven. The budget that is used up
        where there is no room for them; nothing has changed then."""
        used_up = reserve_all(self._proven, self.size)
        if used_up is None:
            self._release()
            self.budgets = self._proven
        return used_up

    def release(self) -> None:
        """Release all of its bytes."""
        self._release()
        self.released.set()

    def _release(self) -> None:
        for budget in self.budgets:
            budget.release(self.size)


class BodyReader:
    """Reads bodies. Bytes are reserved as they arrive; a declared length reserves nothing.

    Anyone may begin to send a body that proves its sender only once it is complete. So such bodies have a budget of
    their own, of which one source and one address get a share each. Of the budget for proven bodies a source gets a
    share too, and always its minimum, also while complete bodies of others wait for Kafka. Where a budget is used up,
    the body that has been arriving for the longest time makes room for a new one.
    """

    def __init__(self, max_body: int, budget: ByteBudget, timeout_us: int) -> None:
        self.budget = budget
        self.max_body = min(max_body, budget.limit)
        self.max_signed_body = min(self.max_body, MAX_SIGNED_BODY)
        self.unproven = ByteBudget(max(budget.limit // _UNPROVEN_SHARE, self.max_signed_body))
        self._proven_sources = SourceBudgets(budget, max(budget.limit // _SOURCE_SHARE, self.max_body))
        self._sources = BudgetShares(max(self.unproven.limit // _SOURCE_SHARE, self.max_signed_body))
        self._addresses = BudgetShares(max(self.unproven.limit // _ADDRESS_SHARE, self.max_signed_body))
        self._arriving: dict[ReceivedBody, tuple[float, asyncio.Timeout]] = {}
        """Bodies, the oldest first: since when they arrive, and what ends that."""
        self._timeout_s = timeout_us / SECOND

    def serve(self, sources: int) -> None:
        """Serve so many sources from now on, each with a minimum of memory. One body of the largest size always fits
        beside them."""
        room = min(self.budget.limit // _MINIMUMS_SHARE, self.budget.limit - self.max_body)
        self._proven_sources.guarantee(min(_MINIMUM, room // max(sources, 1)), sources)

    @asynccontextmanager
    async def receive(self, request: web.Request, source: str, *, signed: bool) -> AsyncIterator[ReceivedBody]:
        """The body, whose bytes stay reserved until the block ends. `signed`: its sender is not proven yet.

        Raises RequestRejected 400, 408, 413, 415, 503.
        """
        if any(
            coding.strip().lower() not in ("", "identity") for coding in request.headers.getall("Content-Encoding", [])
        ):
            raise RequestRejected(
                415, "Content-Encoding: send the body uncompressed; signatures and limits are over its bytes"
            )
        limit = self.max_signed_body if signed else self.max_body
        if request.content_length is not None and request.content_length > limit:
            raise RequestRejected(413, f"the body has {request.content_length:,} bytes; at most {limit:,} are allowed")
        with ExitStack() as stack:
            proven = stack.enter_context(self._proven_sources.of(source))
            budgets: Sequence[ByteBudget] = proven
            if signed:
                of_address = stack.enter_context(self._addresses.of(network_of(request.remote)))
                budgets = (of_address, stack.enter_context(self._sources.of(source)), self.unproven)
            body = ReceivedBody(budgets, proven)
            stack.callback(body.release)
            body.content = await self._read(request, body, limit)
            yield body

    async def prove(self, body: ReceivedBody) -> None:
        """The body has proven its sender. Raises RequestRejected 503 where there is no memory for it."""
        while (used_up := body.prove()) is not None:
            await self._make_room(used_up, body)

    async def _read(self, request: web.Request, body: ReceivedBody, limit: int) -> bytes:
        chunks, began_at = [], asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(self._timeout_s) as timeout:
                self._arriving[body] = began_at, timeout
                # Larger pieces would make aiohttp read further ahead.
                async for chunk in request.content.iter_chunked(READ_AHEAD_BYTES):
                    if body.size + len(chunk) > limit:
                        raise RequestRejected(413, f"the body has more than {limit:,} bytes", {"Connection": "close"})
                    while (used_up := body.reserve(len(chunk))) is not None:
                        await self._make_room(used_up, body)
                    chunks.append(chunk)
        except web.RequestPayloadError:
            raise RequestRejected(400, "the body is malformed: its framing is wrong", {"Connection": "close"}) from None
        except TimeoutError:
            took_s = asyncio.get_running_loop().time() - began_at
            reason = f"the body did not arrive within {min(took_s, self._timeout_s):.3g} s"
            raise RequestRejected(408, reason, {"Connection": "close"}) from None
        finally:
            self._arriving.pop(body, None)
        return b"".join(chunks)

    async def _make_room(self, budget: ByteBudget, body: ReceivedBody) -> None:
        """End the body that has been arriving in a budget for the longest time. Raises RequestRejected 503 where none
        is old enough."""
        now = asyncio.get_running_loop().time()
        for oldest, (began_at, timeout) in self._arriving.items():
            if began_at + _EVICT_AFTER_S > now:
                break
            if oldest is not body and oldest.size and any(map(budget.gains_from, oldest.budgets)):
                if not timeout.expired():
                    timeout.reschedule(now)
                await oldest.released.wait()
                return
        raise _no_memory()


def _no_memory() -> RequestRejected:
    return retry_after(503, "too many requests are being read; send it again", _RETRY_SOON_S)
