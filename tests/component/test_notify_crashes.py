"""A notifier that is killed between any two rows: what was opened at the destination is ended, whatever was stored."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import pytest
from notify_bench import Bench, MemoryStore, destination, play

from connect.notify.destinations.answers import Delivered, Failed, Outcome
from connect.notify.message import Message
from connect.notify.page_store_rows import StateRow
from connect.notify.triggers import PageTrigger
from tests.page_triggers import trigger

_MOST_ROWS = 60


class KilledError(Exception):
    pass


class DyingStore(MemoryStore):
    """Stores so many more rows, one by one; then the process is killed."""

    rows_left = _MOST_ROWS

    async def write(self, partition: int, rows: Iterable[StateRow]) -> None:
        for row in rows:
            if self.rows_left == 0:
                raise KilledError
            self.rows_left -= 1
            await super().write(partition, [row])


class World:
    """What is open at the destination: dedup keys."""

    def __init__(self) -> None:
        self.open: set[str] = set()
        self.fails: set[str] = set()
        """Actions of messages that fail."""

    def answer(self, message: Message) -> Outcome:
        if message.action in self.fails:
            return Failed("HTTP 500")
        key = message.dedup_key(str(message.event["subject"]))
        if message.action == "trigger":
            self.open.add(key)
        elif message.clock:
            self.open.discard(key)
        else:
            self.open.clear()
        return Delivered()


class Notifier:
    """One destination; after a kill it goes on from the last commit, over the same rows."""

    def __init__(self, kind: str, rows_left: int) -> None:
        self.kind = kind
        self.store = DyingStore()
        self.store.rows_left = rows_left
        self.world = World()
        self.committed = 0
        self.bench = self._bench()
        self.bench.start()

    def _bench(self) -> Bench:
        bench = Bench(destination(self.kind), self.store)
        bench.sender.always = self.world.answer
        return bench

    async def read(self, log: Sequence[PageTrigger]) -> None:
        """Everything up to the end of the log, in one batch; the rows are written before the commit."""
        while self.committed < len(log):
            try:
                rows = [row for each in log[self.committed :] for row in self.bench.delivery.apply(0, each)]
                await self.store.write(0, rows)
                self.bench.delivery.rows_written()
                await self.bench.settled()
                self._check()
                self.committed = len(log)
            except KilledError:
                await self._restart()

    async def pass_to(self, seconds: float) -> None:
        """Let everything happen until then."""
        for _ in range(2):
            await self.bench.pass_to(seconds)
            try:
                self._check()
            except KilledError:
                await self._restart()

    def _check(self) -> None:
        if self.bench.running is not None and self.bench.running.done():
            self.bench.running.result()

    async def _restart(self) -> None:
        await self.bench.delivery.suspend(0)
        at, self.store.rows_left = self.bench.clock.at, _MOST_ROWS
        self.bench = self._bench()
        self.bench.clock.at = at
        await self.store.write(0, self.bench.delivery.load(0, self.store.kept(0, "d").pages()))
        self.bench.delivery.rows_written()
        self.bench.start()
        await self.bench.settled()


def alert(name: str, number: int) -> PageTrigger:
    return replace(trigger(name, "inc-1", f"e{number}", metric="response", instance=1), at=number)


@pytest.mark.parametrize("kind", ["pagerduty", "slack", "webhook"])
@pytest.mark.parametrize("rows_left", range(20))
@pytest.mark.parametrize("failing", [False, True], ids=["answers", "fails"])
def test_a_page_that_is_paged_again_before_its_end_was_sent_is_ended(kind: str, rows_left: int, failing: bool) -> None:
    async def scenario() -> None:
        notifier = Notifier(kind, rows_left)
        log = [alert("breached", 1)]
        await notifier.read(log)
        notifier.world.fails = {"trigger", "resolve"} if failing else set()
        log += [alert("retracted", 2)]
        await notifier.read(log)
        log += [alert("breached", 3)]
        await notifier.read(log)
        notifier.world.fails = set()
        await notifier.pass_to(1_000)
        assert notifier.world.open == {"sla/inc-1/response/1"}
        log += [alert("closed", 4)]
        await notifier.read(log)
        await notifier.pass_to(2_000)
        assert notifier.world.open == set()
        assert notifier.store.left() == []

    play(scenario)


@pytest.mark.parametrize("kind", ["pagerduty", "slack", "webhook"])
@pytest.mark.parametrize("rows_left", range(20))
def test_an_alert_that_is_read_again_after_it_was_sent_is_ended_again(kind: str, rows_left: int) -> None:
    async def scenario() -> None:
        notifier = Notifier(kind, rows_left)
        notifier.world.fails = {"resolve"}
        await notifier.read([alert("breached", 1), alert("retracted", 2)])
        notifier.world.fails = set()
        await notifier.pass_to(1_000)
        assert notifier.world.open == set()
        assert notifier.store.left() == []

    play(scenario)
