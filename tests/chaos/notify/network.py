"""Requests between processes and the broker: sent, on their way, held in a cut, landed, answered."""

from __future__ import annotations

import asyncio
import contextvars
from collections import defaultdict
from collections.abc import Callable, Hashable
from random import Random  # noqa: TID251 -- seeded
from typing import Any

from aiokafka import errors as kafka

from tests.chaos.loop import PROCESS, Loop, settle

REQUEST_S = 10.0


class Network:
    """What a process sends in a cut is lost, or lands when the cut is over, as the seed wants it."""

    def __init__(self, loop: Loop, random: Random) -> None:
        self.loop = loop
        self.random = random
        self.cut: set[int] = set()
        """Processes that reach no broker."""
        self.slow_s = 0.0
        """How long requests of the `slow_kinds` take at most; 0: all are fast."""
        self.slow_kinds: set[str] = set()
        self._held: defaultdict[int, list[Callable[[], None]]] = defaultdict(list)
        self._last: dict[Hashable, float] = {}
        self._lands = random.choice([0.2, 0.6, 0.95])
        self._world = contextvars.Context()

    def later(self, seconds: float, act: Callable[[], object]) -> asyncio.TimerHandle:
        """In the world, which no process's death touches."""
        return self.loop.call_later(seconds, act, context=self._world.copy())  # type: ignore[return-value]

    def heal(self, process: int) -> None:
        self.cut.discard(process)
        for act in self._held.pop(process, ()):
            self.later(self.random.uniform(0, 0.3), act)

    async def call(
        self, kind: str, effect: Callable[[], Any], timeout_s: float = REQUEST_S, *, line: Hashable = None
    ) -> Any:
        """The broker's answer, which may be a future there. Requests on one `line` keep their order. Raises
        KafkaError."""
        process = PROCESS.get()
        answer: asyncio.Future[Any] = self.loop.create_future()
        at = self.loop.time() + self._delay(kind)
        if line is not None:
            at = self._last[line] = max(at, self._last.get(line, 0.0) + 1e-6)
        arrive = self._through(process, lambda: self._arrive(process, kind, effect, answer))
        self.loop.call_at(at, arrive, context=self._world.copy())
        breaks = process in self.cut and self.random.random() < 0.5
        limit = min(timeout_s, self.random.uniform(0.05, 3.0)) if breaks else timeout_s
        try:
            async with asyncio.timeout(limit):
                return await answer
        except TimeoutError:
            raise kafka.KafkaConnectionError("it broke") if breaks else kafka.RequestTimedOutError() from None

    async def call_until_answered(self, kind: str, effect: Callable[[], Any], *, line: Hashable = None) -> Any:
        """As aiokafka asks most questions: again and again."""
        while True:
            try:
                return await self.call(kind, effect, line=line)
            except kafka.KafkaError as error:
                if not error.retriable:
                    raise
            await asyncio.sleep(0.1)

    def _delay(self, kind: str) -> float:
        usual = self.random.uniform(0.001, 0.008)
        slow = self.slow_s and kind in self.slow_kinds
        return self.random.uniform(0, self.slow_s) if slow else usual

    def _through(self, process: int, act: Callable[[], None]) -> Callable[[], None]:
        """`act`, unless the process is cut off by then."""

        def passing() -> None:
            if process not in self.cut:
                act()
            elif self.random.random() < self._lands:
                self._held[process].append(passing)

        return passing

    def _arrive(self, process: int, kind: str, effect: Callable[[], Any], answer: asyncio.Future[Any]) -> None:
        def reply(result: object, error: BaseException | None = None) -> None:
            self.later(self._delay(kind), self._through(process, lambda: settle(answer, error, result)))

        try:
            found = effect()
        except kafka.KafkaError as error:
            reply(None, error)
            return
        if not isinstance(found, asyncio.Future):
            reply(found)
            return

        def done(future: asyncio.Future[Any]) -> None:
            if not future.cancelled():
                error = future.exception()
                reply(None if error else future.result(), error)

        found.add_done_callback(done, context=self._world.copy())
