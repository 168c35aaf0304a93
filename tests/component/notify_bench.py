"""A destination's delivery over a clock, a sender and a store that the test holds: what tests of it share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from connect.notify.delivery_queue import DeliveryQueue
from connect.notify.destinations.answers import Delivered, Failed, Outcome
from connect.notify.destinations.kind import Destination
from connect.notify.destinations.registry import DESTINATION_KINDS
from connect.notify.incident_summaries import IncidentSummaries
from connect.notify.message import Message
from connect.notify.metrics import NotifyMetrics
from connect.notify.page_store_rows import Parked, StateRow, StoredPages, read_parked
from connect.notify.retained_pages import RetainedPages
from connect.notify.triggers import PageTrigger
from connect.secret_refs import SecretRef
from streams.sla.instants import SECOND
from tests.waiting import TIMEOUT_S

REF = SecretRef("env", "X")


def destination(kind: str, name: str = "d", **changed: object) -> Destination:
    found = DESTINATION_KINDS[kind]
    return Destination(name, found, REF, **({"give_up_after": found.give_up_after} | changed))  # type: ignore[arg-type]


class HandClock:
    """Time moves when the test says so; whoever waits is woken when his instant has come."""

    def __init__(self) -> None:
        self.at = 0
        self.next: int | None = None
        self._moved = asyncio.Event()

    def now(self) -> int:
        return self.at

    async def wait(self, event: asyncio.Event, until: int | None) -> None:
        self.next = until
        while not event.is_set() and (until is None or self.at < until):
            self._moved.clear()
            waits = [asyncio.ensure_future(event.wait()), asyncio.ensure_future(self._moved.wait())]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for each in waits:
                each.cancel()
        self.next = None

    def move(self, at: int) -> None:
        self.at = max(self.at, at)
        self._moved.set()


class Script:
    """A destination by its answers: `answers` are given in turn, then `always`; `held` keeps them back. A try takes
    `takes` of the clock."""

    def __init__(self, clock: HandClock) -> None:
        self.clock = clock
        self.answers: list[Outcome | Exception] = []
        self.always: Callable[[Message], Outcome] = lambda _: Delivered()
        self.heard: list[tuple[int, str, str]] = []
        self.messages: list[Message] = []
        self.at_once = 0
        self.most_at_once = 0
        self.open = asyncio.Event()
        self.open.set()

    async def send(self, incident: str, message: Message) -> Outcome:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.heard.append((self.clock.at // SECOND, incident, message.id))
        self.messages.append(message)
        try:
            await asyncio.sleep(0)
            await self.open.wait()
        finally:
            self.at_once -= 1
        answer = self.answers.pop(0) if self.answers else self.always(message)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def close(self) -> None: ...


class MemoryStore:
    """The compacted topic: each key's latest row, by partition."""

    def __init__(self) -> None:
        self.log: dict[int, dict[bytes, bytes | None]] = {}
        self.failure: Exception | None = None

    async def write(self, partition: int, rows: Iterable[StateRow]) -> None:
        if self.failure is not None:
            raise self.failure
        for row in rows:
            here = self.log.setdefault(partition, {})
            here.pop(row.key, None)
            here[row.key] = row.value

    def kept(self, partition: int, name: str) -> StoredPages:
        found = StoredPages(name)
        for key, value in self.log.get(partition, {}).items():
            found.read(key, value)
        return found

    def parked(self) -> list[Parked]:
        rows = [read_parked(*row) for log in self.log.values() for row in log.items()]
        return [each for each in rows if each is not None]

    def left(self) -> list[bytes]:
        """Keys that have a value."""
        return [key for log in self.log.values() for key, value in log.items() if value is not None]


class Bench:
    """One delivery that runs."""

    def __init__(
        self,
        to: Destination,
        store: MemoryStore | None = None,
        summaries: IncidentSummaries | None = None,
        retained: RetainedPages | None = None,
    ) -> None:
        self.clock = HandClock()
        self.sender = Script(self.clock)
        self.store = store or MemoryStore()
        self.metrics = NotifyMetrics()
        self.to = to
        self.delivery = DeliveryQueue(
            to, self.sender, self.store, self.clock, self.metrics, summaries=summaries, retained=retained
        )
        self.running: asyncio.Task[None] | None = None

    def start(self) -> None:
        self.delivery.resume()
        self.running = asyncio.create_task(self.delivery.run())

    async def give(self, *triggers: PageTrigger, partition: int = 0) -> None:
        for trigger in triggers:
            await self.store.write(partition, self.delivery.apply(partition, trigger))
            self.delivery.rows_written()
        await self.settled()

    async def pass_to(self, seconds: float) -> None:
        """Let everything happen until then, each thing at its instant."""
        end = int(seconds * SECOND)
        while True:
            await self.settled()
            if self.clock.next is None or self.clock.next > end:
                self.clock.move(end)
                await self.settled()
                return
            self.clock.move(self.clock.next)

    async def settled(self) -> None:
        """Until nothing happens any more at this instant."""
        quiet = 0
        while quiet < 30:
            await asyncio.sleep(0)
            quiet = 0 if self.sender.at_once and self.sender.open.is_set() else quiet + 1

    def count(self, outcome: str) -> float:
        return self.metrics.registry.get_sample_value(
            "sla_notify_tries_total", {"destination": self.to.name, "outcome": outcome}
        ) or 0.0  # fmt: skip


def failed(_: Message) -> Outcome:
    return Failed("HTTP 500")


def play(scenario: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(TIMEOUT_S):
            await scenario()

    asyncio.run(limited())
