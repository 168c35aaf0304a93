"""Whether Kafka answers while nothing arrives: a client that polls gets nothing from a broker that is away or hangs, as
from an idle topic."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from connect.kafka_io.connection import BrokerProblem, explained

_ASK_EVERY_S = 5.0
#: Who did not call for so long may have stood still, as a program does that is stopped or waits for its reader: then
#: a question that nobody answered in time says nothing of Kafka.
_STOOD_STILL_S = 5.0


class Reachability:
    """Asks in the background of the loop that polls, so that a question without an answer holds up no records."""

    def __init__(self, bootstrap: Iterable[str], ask: Callable[[], Awaitable[object]]) -> None:
        self._bootstrap = list(bootstrap)
        self._ask = ask
        self._question: asyncio.Task[BrokerProblem | None] | None = None
        self._problem: BrokerProblem | None = None
        self._next = 0.0
        self._called: float | None = None

    async def problem(self) -> BrokerProblem | None:
        """What the latest question came to; None where Kafka answered it. To be called every now and then: a question
        goes out five seconds after the last one has ended."""
        now = asyncio.get_running_loop().time()
        stood_still = self._called is not None and now - self._called > _STOOD_STILL_S
        self._called = now
        if self._question is not None and stood_still:
            self._question.cancel()
            self._question, self._next = None, now
        elif self._question is not None and self._question.done():
            self._problem = self._question.result()
            self._question, self._next = None, now + _ASK_EVERY_S
        if self._question is None and now >= self._next:
            self._question = asyncio.create_task(self._one_question())
        return self._problem

    async def _one_question(self) -> BrokerProblem | None:
        try:
            with explained(self._bootstrap):
                await self._ask()
        except BrokerProblem as problem:
            return problem
        return None
