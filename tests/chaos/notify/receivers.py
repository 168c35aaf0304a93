"""What is at the other end of a destination, and the senders to it: answers that fail, hang or get lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random  # noqa: TID251 -- seeded
from typing import NamedTuple

from connect.notify.destinations.answers import Delivered, Failed, Outcome, Undeliverable
from connect.notify.message import Message
from streams.sla.instants import SECOND

from .network import Network

#: How each mode answers; twice as often what is there twice.
_MODES = {
    "up": ["taken"],
    "unsure": ["taken", "taken", "failed", "limited", "answer lost", "hangs", "hangs, taken"],
    "down": ["failed", "hangs", "refused"],
    "rejects": ["taken", "rejected"],
}
_TAKEN = frozenset({"taken", "answer lost", "hangs, taken"})
_NO_ANSWER = frozenset({"hangs", "hangs, taken"})


class Receipt(NamedTuple):
    """A message that a receiver has taken. `by_owner`: who sent it had the partition then."""

    at: float
    by: int
    by_owner: bool
    incident: str
    message: Message

    def __str__(self) -> str:
        whose = "" if self.by_owner else ", which had the partition no more"
        return f"{self.message.action} {self.message.id} at {self.at:.2f} by {self.by}{whose}"


class Receiver:
    """Of one destination. `owner` tells which process has the partition of an incident."""

    def __init__(self, name: str, net: Network, random: Random, owner: Callable[[str, str], int | None]) -> None:
        self.name = name
        self.mode = "up"
        self.receipts: list[Receipt] = []
        self.told: Callable[[Receipt], None] = lambda _: None
        self.net = net
        self.random = random
        self._owner = owner

    def arrive(self, process: int, incident: str, message: Message) -> str:
        """How it answers."""
        answer = self.random.choice(_MODES[self.mode])
        if answer in _TAKEN:
            owner = self._owner(self.name, incident)
            receipt = Receipt(self.net.loop.time(), process, owner == process, incident, message)
            self.receipts.append(receipt)
            self.told(receipt)
        return answer


class Sender:
    """Of one process."""

    def __init__(self, receiver: Receiver, process: int, timeout_s: float) -> None:
        self._receiver = receiver
        self._process = process
        self._timeout_s = timeout_s

    async def send(self, incident: str, message: Message) -> Outcome:
        receiver, net = self._receiver, self._receiver.net
        done: asyncio.Future[Outcome] = net.loop.create_future()
        slowest = receiver.random.choice([0.01, 0.05, 0.3, 0.3, 2.0])
        there = slowest * receiver.random.random()

        def arrive() -> None:
            answer = receiver.arrive(self._process, incident, message)
            if answer not in _NO_ANSWER:
                net.later(
                    slowest * receiver.random.random(), lambda: done.done() or done.set_result(self._outcome(answer))
                )

        net.later(there, arrive)
        try:
            async with asyncio.timeout(self._timeout_s):
                return await done
        except TimeoutError:
            return Failed("no answer in time")

    def _outcome(self, answer: str) -> Outcome:
        match answer:
            case "taken":
                return Delivered()
            case "rejected":
                return Undeliverable("HTTP 400")
            case "limited":
                return Failed("HTTP 429", self._receiver.random.choice([None, SECOND, 7 * SECOND]), rate_limited=True)
            case _:
                return Failed(answer)

    async def close(self) -> None: ...
