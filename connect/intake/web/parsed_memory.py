"""Bounds the memory of parsed bodies, and the time for which the parser lets no other thread run.

JSON may take thirty times the memory of its text. A list or object is made in one go, up to the next object in it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from weakref import WeakValueDictionary

from connect.intake.byte_budget import ByteBudget, SourceBudgets, reserve_all
from connect.intake.web.body_threads import BodyThreads
from connect.intake.web.responses import RequestRejected

#: What one body may take, and those that take more than `_SMALL` together.
LARGEST = 192 * 1024 * 1024
#: Bodies that take less than this do not wait for larger ones: they have a budget of their own.
_SMALL = 1024 * 1024
_ALL_SMALL = 64 * 1024 * 1024
#: Of the memory for small bodies, the share that is left to sources which have less than their minimum of it.
_MINIMUMS_SHARE = 4
#: Bytes of memory for each of these in JSON, at most: an object with one field takes 240, a Decimal 104.
_IN_JSON = {b"{": 130, b"[": 70, b",": 110, b":": 60}
#: In a form, which is decoded piece by piece.
_IN_FORM = {
    b"%": 190,
    b"%7B": 130,
    b"%7b": 130,
    b"%5B": 70,
    b"%5b": 70,
    b"%2C": 110,
    b"%2c": 110,
    b"%3A": 60,
    b"%3a": 60,
}
#: Plain values in a list or object, or between two objects in it: about 50 ms. Nothing that the intake reads has more.
MOST_IN_A_ROW = 100_000
#: Bytes that are counted without letting another thread run.
_PIECE = 256 * 1024


def parsed_size(content: bytes) -> int:
    """About how many bytes a body takes once it is parsed, at most; punctuation in its texts counts too."""
    weights = _IN_JSON if content[:1] in (b"{", b"[") else _IN_JSON | _IN_FORM
    as_text = (2 if content.isascii() else 5) * len(content)
    pieces = range(0, len(content), _PIECE)
    return as_text + sum(
        content.count(text, at, at + _PIECE + len(text) - 1) * size for at in pieces for text, size in weights.items()
    )


def check_parsed_size(content: bytes) -> int:
    """The size, where it is allowed. Raises RequestRejected 413."""
    size = parsed_size(content)
    if size > LARGEST:
        mebibytes = size / 1024 / 1024
        reason = f"the body would take about {mebibytes:.0f} MiB of memory as JSON; at most {LARGEST >> 20} are allowed"
        raise RequestRejected(413, f"{reason}: send it in parts")
    if _has_long_row(content):
        reason = f"the body has more than {MOST_IN_A_ROW:,} values or commas without an object between them"
        raise RequestRejected(413, f"{reason}: send it in parts, or leave out what the mapping does not need")
    return size


def _has_long_row(content: bytes) -> bool:
    """Whether somewhere too many commas have no `}` between them; those in texts count too."""
    at, shortest = 0, 2 * MOST_IN_A_ROW
    while at + shortest <= len(content):
        closed = content.rfind(b"}", at, at + shortest)
        if closed < 0:
            end = content.find(b"}", at + shortest)
            closed = len(content) if end < 0 else end
            if content.count(b",", at, closed) > MOST_IN_A_ROW:
                return True
        at = closed + 1
    return False


class ParsedMemory:
    """The memory of the bodies that are being translated, and published as they are. Small bodies of one source come in
    their order. They get at most half of the memory for small ones, and always some, whatever others wait for; so
    bodies of one source whose events Kafka does not acknowledge keep out no other source. Large bodies come one or a
    few at a time, each source's in their order: one of each waits in the line of all."""

    def __init__(self, threads: BodyThreads) -> None:
        self._threads = threads
        self._small = SourceBudgets(ByteBudget(_ALL_SMALL), _ALL_SMALL // 2)
        self._released = asyncio.Event()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._large = _LargeBodies()

    def serve(self, sources: int) -> None:
        """Serve so many sources from now on. Of few, each has room for a small body of the largest size."""
        self._small.guarantee(min(_SMALL, _ALL_SMALL // _MINIMUMS_SHARE // max(sources, 1)), sources)

    @asynccontextmanager
    async def hold(self, source: str, content: bytes) -> AsyncIterator[None]:
        """A block in which a body is parsed; it begins once there is memory. Raises RequestRejected 413."""
        size = await self._threads.run(len(content), partial(check_parsed_size, content))
        if size > _SMALL:
            async with self._large.hold(source, size):
                yield
            return
        with self._small.of(source) as budgets:
            async with self._locks.setdefault(source, asyncio.Lock()):
                while reserve_all(budgets, size) is not None:
                    self._released.clear()
                    await self._released.wait()
            try:
                yield
            finally:
                for budget in budgets:
                    budget.release(size)
                self._released.set()


class _LargeBodies:
    """The memory of large bodies. One may take all of it; of several, those of one source take at most half."""

    def __init__(self) -> None:
        self._budget = ByteBudget(LARGEST)
        self._used: Counter[str] = Counter()
        self._line = asyncio.Lock()
        self._of_source: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._released = asyncio.Event()

    @asynccontextmanager
    async def hold(self, source: str, size: int) -> AsyncIterator[None]:
        async with self._of_source.setdefault(source, asyncio.Lock()):
            while self._used[source] and self._used[source] + size > LARGEST // 2:
                await self._release()
            async with self._line:
                while not self._budget.reserve(size):
                    await self._release()
            self._used[source] += size
        try:
            yield
        finally:
            self._budget.release(size)
            self._used[source] -= size
            if not self._used[source]:
                del self._used[source]
            self._released.set()

    async def _release(self) -> None:
        """Wait until a body has ended."""
        self._released.clear()
        await self._released.wait()
