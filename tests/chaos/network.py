"""Requests between processes and the broker: they take time, and this is where most things go wrong, by the seed."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random  # noqa: TID251 -- seeded
from typing import Any

from aiokafka import errors as kafka

from .loop import PROCESS, Loop, settle

BASE_US = 1_700_000_000_000_000
REQUEST_TIMEOUT_S = 15.0

Outcome = str
OUTCOMES: Mapping[Outcome, int] = {
    "slow": 3,  # on the way there and back
    "refused": 3,  # a retriable error, nothing done
    "answer lost": 4,  # done, and the caller sees an error
    "timed out": 1,  # it never got there
    "never answered": 1,  # done, and only the caller's own patience ends the wait
    "kill before": 3,  # the process dies, the request is under way
    "kill after": 3,  # the process dies, the request has been carried out
    "pause before": 2,  # SIGSTOP; somebody else takes over meanwhile
    "pause after": 2,
    "twin": 1,  # a second owner starts while the first goes on
}


@dataclass
class Trouble:
    """How much goes wrong: a share of all requests until the budget is spent."""

    rate: float = 0.0
    budget: int = 0
    weights: Mapping[Outcome, int] = field(default_factory=lambda: OUTCOMES)


class Network:
    """`on_fault` kills, pauses or doubles a process: the simulation does that."""

    def __init__(self, loop: Loop, random: Random, trouble: Trouble | None = None) -> None:
        self.loop = loop
        self.random = random
        self.trouble = trouble or Trouble()
        self.closed = False
        self.on_fault: Callable[[Outcome, int], None] = lambda _outcome, _process: None
        self.trace: Callable[[str], None] | None = None
        self._outcomes = list(self.trouble.weights)
        self._weights = list(self.trouble.weights.values())
        self.world = contextvars.Context()
        self._last: dict[object, float] = {}

    def now_us(self) -> int:
        """The broker's clock."""
        return BASE_US + round(self.loop.time() * 1_000_000)

    def later(self, act: Callable[[], object], ms: int | None = None) -> None:
        """In the world, which no process's death touches."""
        self.loop.call_later(self.delay() if ms is None else ms / 1_000, act, context=self.world)

    def delay(self) -> float:
        """Seconds; mostly a few milliseconds."""
        return float(self.random.random() ** 4 * 0.03)

    async def turn(self) -> None:
        """Something local that still gives way."""
        await asyncio.sleep(0)

    def send(self, what: str, effect: Callable[[], Any], *, line: object = None) -> asyncio.Future[Any]:
        """Have `effect` done at the broker; the future brings its answer. Requests on one `line` keep their order."""
        answer: asyncio.Future[Any] = self.loop.create_future()
        process = PROCESS.get()
        if self.closed:
            answer.set_exception(kafka.KafkaConnectionError("the world has ended"))
            return answer
        outcome = self._outcome()
        if self.trace is not None:
            self.trace(f"p{process} {what}{f': {outcome}' if outcome else ''}")
        there, back = self.delay(), self.delay()
        if outcome == "slow":
            there, back = there + self.random.random() * 4, back + self.random.random() * 4
        elif outcome.endswith("before") or outcome == "twin":
            self.on_fault(outcome, process)
            if outcome == "kill before" and self.random.random() < 0.5:
                return answer  # it had not left yet
        when = self.loop.time() + there
        if line is not None:
            when = self._last[line] = max(when, self._last.get(line, 0.0) + 1e-6)
        self.loop.call_at(when, self._arrive, what, effect, outcome, process, answer, back, context=self.world)
        return answer

    def _outcome(self) -> Outcome:
        trouble = self.trouble
        if trouble.budget <= 0 or self.random.random() >= trouble.rate:
            return ""
        trouble.budget -= 1
        return self.random.choices(self._outcomes, self._weights)[0]

    def _arrive(
        self,
        what: str,
        effect: Callable[[], Any],
        outcome: Outcome,
        process: int,
        answer: asyncio.Future[Any],
        back: float,
    ) -> None:
        error: Exception | None = None
        result = None
        if outcome == "refused":
            error = kafka.NotLeaderForPartitionError(what)
        elif outcome == "timed out":
            error, back = kafka.RequestTimedOutError(what), REQUEST_TIMEOUT_S
        else:
            try:
                result = effect()
            except kafka.KafkaError as refusal:
                error = refusal
            if outcome == "answer lost":
                error = kafka.KafkaConnectionError(what)
            elif outcome == "never answered":
                error, back = kafka.RequestTimedOutError(what), REQUEST_TIMEOUT_S * 3
        if outcome.endswith("after"):
            self.on_fault(outcome, process)
        self.loop.call_later(back, settle, answer, error, result, context=self.world)
