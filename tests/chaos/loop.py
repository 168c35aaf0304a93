"""An asyncio event loop with virtual time, tasks in a seeded order, and processes that can be frozen or die."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import heapq
import sys
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from contextlib import contextmanager
from itertools import count
from random import Random  # noqa: TID251 -- seeded
from typing import Any, TypeVar

T = TypeVar("T")
WORLD = 0
PROCESS: contextvars.ContextVar[int] = contextvars.ContextVar("process", default=WORLD)
"""Whose code is running. Whatever a process schedules belongs to it, so all of it can be frozen at once."""


class Handle:
    """One callback that waits for its turn."""

    __slots__ = ("_cancelled", "args", "callback", "context", "owner")

    def __init__(self, callback: Callable[..., object], args: tuple[Any, ...], context: contextvars.Context) -> None:
        self.callback = callback
        self.args = args
        self.context = context
        self.owner = context.get(PROCESS, WORLD)
        self._cancelled = False

    def cancel(self) -> None:
        self._cancelled = True

    def cancelled(self) -> bool:
        return self._cancelled


class NumberedTask(asyncio.Task[Any]):
    """Hashes by its number, so that sets of tasks are walked in the same order in every run."""

    def __init__(self, number: int, coro: Coroutine[Any, Any, Any], **options: Any) -> None:
        self.number = number
        super().__init__(coro, **options)

    def __hash__(self) -> int:
        return self.number


class Stalled(Exception):  # noqa: N818 -- it names what happened
    """Nothing is left to do, and the main task is not done."""


class Loop(asyncio.AbstractEventLoop):
    """Only what tasks, futures, events and timeouts need. Time moves when nobody can run."""

    def __init__(self, random: Random) -> None:
        self.steps = 0
        self.break_at = -1
        """At this step `on_break` is told whose turn it is, before it runs: it may freeze that process."""
        self.on_break: Callable[[int], None] = lambda _: None
        self.complaints: list[str] = []
        self._chance = random.random
        self._ready: list[Handle] = []
        self._timers: list[tuple[float, int, Handle]] = []
        self._frozen: dict[int, list[Handle]] = {}
        self._now = 0.0
        self._number = count(1)

    # Processes

    def freeze(self, process: int) -> None:
        """Not one more step of it; what it would have done is kept."""
        self._frozen.setdefault(process, [])

    def thaw(self, process: int) -> None:
        """It goes on as if nothing had been."""
        self._ready += self._frozen.pop(process, [])

    def frozen(self, process: int) -> bool:
        return process in self._frozen

    # Running

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Until `main` is done."""
        with self._running():
            task = self.create_task(main)
            while not task.done():
                if not self._ready and not self._move_time():
                    raise Stalled
                self._step()
            result: T = task.result()
            return result

    def bury(self) -> None:
        """End every task that is left, the dead ones too, so that the garbage collector finds nothing to finish."""
        with self._running():
            for process in list(self._frozen):
                self.thaw(process)
            for _ in range(20):
                left = asyncio.all_tasks(self)
                if not left:
                    break
                for task in left:
                    task.cancel()
                while self._ready:
                    self._step()
        self._timers.clear()

    @contextmanager
    def _running(self) -> Iterator[None]:
        before = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(finalizer=self._finalise)
        asyncio._set_running_loop(self)
        try:
            yield
        finally:
            asyncio._set_running_loop(None)
            sys.set_asyncgen_hooks(*before)

    def _finalise(self, generator: AsyncGenerator[Any, Any]) -> None:
        self.create_task(generator.aclose())

    def _step(self) -> None:
        ready = self._ready
        chosen = int(self._chance() * len(ready))
        handle = ready[chosen]
        ready[chosen] = ready[-1]
        ready.pop()
        if handle._cancelled:
            return
        if handle.owner in self._frozen:
            self._frozen[handle.owner].append(handle)
            return
        self.steps += 1
        if self.steps >= self.break_at >= 0 and handle.owner != WORLD:
            self.break_at = -1
            self.on_break(handle.owner)
            if handle.owner in self._frozen:
                self._frozen[handle.owner].append(handle)
                return
        handle.context.run(handle.callback, *handle.args)

    def _move_time(self) -> bool:
        timers = self._timers
        while timers and not self._ready:
            self._now = max(self._now, timers[0][0])
            while timers and timers[0][0] <= self._now:
                handle = heapq.heappop(timers)[2]
                if not handle._cancelled:
                    self._ready.append(handle)
        return bool(self._ready)

    # What asyncio asks of a loop

    def time(self) -> float:
        return self._now

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> Handle:
        handle = Handle(callback, args, contextvars.copy_context() if context is None else context)
        self._ready.append(handle)
        return handle

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> Handle:
        handle = Handle(callback, args, contextvars.copy_context() if context is None else context)
        heapq.heappush(self._timers, (when, next(self._number), handle))
        return handle

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> Handle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(  # type: ignore[override]
        self,
        coro: Coroutine[Any, Any, Any],
        *,
        name: str | None = None,
        context: contextvars.Context | None = None,
    ) -> asyncio.Task[Any]:
        number = next(self._number)
        return NumberedTask(number, coro, loop=self, name=name or f"task-{number}", context=context)

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.complaints.append(f"{context.get('message')}: {context.get('exception')!r}")


def settle(answer: asyncio.Future[Any], error: BaseException | None, result: object) -> None:
    """Give an answer to whoever still waits for it."""
    if answer.done():
        return
    if error is None:
        answer.set_result(result)
    else:
        answer.set_exception(error)


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """What it finalises would have its turn at another moment in each run."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
