"""One seed: notifiers work under faults; then all is healed, and what they did is checked."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from random import Random  # noqa: TID251 -- seeded
from typing import Any, NamedTuple

from aiokafka.structs import TopicPartition

from connect.notify.page import Page
from connect.notify.page_store import group_of
from connect.notify.page_store_rows import read_key
from tests.chaos.loop import PROCESS, Loop, Stalled, no_garbage_collection

from . import routes
from .broker import Broker
from .checks import Checks, Problem
from .faults import Faults
from .incidents import ALERTS, INCIDENTS, ROWS, Histories
from .installed import installed
from .notifier import Notifier, PageKey
from .parked import Operator
from .partition_log import Record
from .receivers import Receiver

_CALM_LOOKS, _LOOK_S = 5, 5.0
_CALM_S = 60.0
"""Rows are compacted once they are so old at least, as the topic is configured: a late one is repaired by then, where a
notifier runs."""

#: Events of the log that no fault of Kafka or of a receiver causes.
_DEFECTS = frozenset({"destination_worker_failed", "routes_not_recorded"})


class Verdict(NamedTuple):
    """What a seed has shown."""

    problems: list[Problem]
    counts: Counter[str]
    lines: list[tuple[Any, ...]]
    """The trace: virtual seconds, process, what, more."""


class World:
    """One run of one profile."""

    def __init__(self, seed: int, profile: str, *, trace: bool = False) -> None:
        self.random = random = Random(f"notify-{profile}-{seed}")
        self.loop = Loop(Random(f"loop-{profile}-{seed}"))
        self.counts: Counter[str] = Counter()
        self.lines: list[tuple[Any, ...]] = []
        self._traced = trace
        partitions = random.choice([1, 2, 3])
        self.broker = Broker(self.loop, Random(f"broker-{seed}"), partitions, [ALERTS, INCIDENTS, ROWS])
        self.broker.late, self.broker.note = self._is_late, self.say
        self.histories = Histories(self.broker, random)
        self.operator = Operator(self.broker, self.histories, random)
        self.receivers = {name: Receiver(name, self.broker.net, random, self._owner_of) for name in routes.ALL}
        for name, each in self.receivers.items():
            each.told = lambda receipt, name=name: self.say("taken", of=name, message=str(receipt))
        self.digests = profile == "digests" or (profile == "mixed" and random.random() < 0.15)
        self.routes = random.choice(routes.EDITED if profile == "edit" else routes.AT_START)
        self.routes_used = [self.routes]
        self.most = random.choice([1, 2, 2, 3])
        if profile in {"zombie", "cut"}:
            self.most = max(self.most, 2)
        self.notifiers: list[Notifier] = []
        self._profile = profile
        self._healed = False
        self._checks = Checks(self)

    # -- notifiers -----------------------------------------------------------------------------------------------------

    @property
    def running(self) -> list[Notifier]:
        """Suspended ones included."""
        return [each for each in self.notifiers if each.state == "runs"]

    @property
    def destinations(self) -> frozenset[str]:
        """Of the routing file."""
        return frozenset(routes.loaded(self.routes, digests=False).routing.destinations)

    def start_one(self) -> None:
        number = len(self.notifiers) + 1
        self.say("started", of=number, routes=self.routes)
        routing = routes.loaded(self.routes, digests=self.digests)
        self.notifiers.append(Notifier(number, self.broker, self.receivers, self.random, routing))

    def start_missing(self) -> None:
        if len(self.running) < self.most and not self._healed:
            self.start_one()

    def kill_within(self, steps: int) -> None:
        """Who has its turn at one of the next steps."""

        def hit(number: int) -> None:
            found = next((each for each in self.running if each.number == number), None)
            if found is not None and not self._healed:
                found.kill()
                self.counts["killed"] += 1
                self.broker.net.later(self.random.uniform(0, 15), self.start_missing)

        self.loop.break_at, self.loop.on_break = self.loop.steps + self.random.randrange(1, steps), hit

    def set_routes(self, name: str) -> None:
        self.routes = name
        self.routes_used.append(name)

    def give_file(self, notifier: Notifier, name: str) -> None:
        if notifier.state == "runs" and not notifier.suspended:
            notifier.use(routes.loaded(name, digests=self.digests))

    def pages(self) -> Mapping[PageKey, Page]:
        """In the memory of all notifiers that run."""
        return {key: page for each in self.running for key, page in each.pages()}

    # -- rows ----------------------------------------------------------------------------------------------------------

    def compact_rows(self, *, tombstones: bool, older_s: float = _CALM_S) -> None:
        """Parts that are old enough."""
        before = self.broker.now_ms() - older_s * 1_000
        for log in self.broker.logs_of(ROWS).values():
            old = [each.offset for each in log.records if each.timestamp < before]
            if old and self.random.random() < 0.7:
                log.compact(old[-1] + 1, tombstones=tombstones)

    def _is_late(self, by: object, record: Record) -> bool:
        key = read_key(record.key) if record.topic == ROWS and isinstance(by, int) else None
        if key is None or self.broker.group(group_of("sla", key.destination)).owner(record.partition) == by:
            return False
        self.counts["late rows"] += 1
        return True

    def _owner_of(self, destination: str, incident: str) -> int | None:
        found = self.histories.incident_of(incident)
        return self.broker.group(group_of("sla", destination)).owner(0 if found is None else found.partition)

    # -- the run -------------------------------------------------------------------------------------------------------

    def say(self, what: str, /, **more: object) -> None:
        if self._traced:
            self.lines.append((self.loop.time(), PROCESS.get(), what, more))

    def run(self) -> Verdict:
        checks = self._checks
        with installed(self.broker, self.random, self._logged), no_garbage_collection():
            try:
                self.loop.run(self._scenario(checks))
            except Stalled:
                checks.add("stalled")
            finally:
                self.loop.bury()
        for each in self.notifiers:
            if each.ended:
                checks.add("ended by itself", detail=f"{each.number}: {each.ended}")
        self.counts["virtual seconds"] = int(self.loop.time())
        self.counts["messages"] = sum(len(each.receipts) for each in self.receivers.values())
        return Verdict(checks.problems, self.counts, self.lines)

    def _logged(self, level: str, event: Mapping[str, Any]) -> None:
        self.say(f"log {level}", **event)
        if event.get("event") == "begins_with_new_alerts":
            named = (each.rpartition("/") for each in event["partitions"])
            self.histories.begun_as_new([TopicPartition(topic, int(number)) for topic, _, number in named])
        if event.get("event") in _DEFECTS:
            self._checks.add("error in the log", detail=str({**event, "exception": str(event.get("exception"))[-400:]}))

    async def _scenario(self, checks: Checks) -> None:
        random = self.random
        for _ in range(self.most):
            self.start_one()
        if not await self._calm("at the start", 120):
            return
        seconds = random.choice([80, 150, 220])
        count = random.randrange(6, 22)
        faults = Faults(self, self._profile).run(self.loop.time() + seconds)
        await asyncio.gather(faults, *(self.histories.write(each, seconds) for each in range(count)))
        await self._heal()
        if not await self._calm("after the faults", 1_500):
            return
        if self._profile == "park":
            self.operator.handle_all()
            await self._calm("after the operator", 900)
        before = self.pages()
        checks.look("after the faults")
        await self._restart(checks, before)
        checks.look("after the restart")
        for each in self.histories.incidents.values():
            self.histories.close(each)
            await asyncio.sleep(0.5)
        await self._calm("after all closings", 900)
        checks.look("after all closings")
        checks.look_for_pages_left(self.pages())

    async def _heal(self) -> None:
        self._healed, self.loop.break_at = True, -1
        self.broker.net.slow_s = 0.0
        for each in self.receivers.values():
            each.mode = "up"
        for _ in range(2):  # also what is resumed or cut off by then
            for number in list(self.broker.net.cut):
                self.broker.net.heal(number)
            await asyncio.sleep(45)
        while len(self.running) < self.most:
            self.start_one()
        if len(self.routes_used) > 1:
            await self._until_routes_stay()
            self._checks.look_at_routes("after the faults")
            for each in self.running:  # one file for all in the end
                each.use(routes.loaded(self.routes, digests=self.digests))

    async def _until_routes_stay(self) -> None:
        until = self.loop.time() + 240
        await asyncio.sleep(10)
        while any(each.exchanges for each in self.running):
            if self.loop.time() >= until:
                self._checks.add("routes not in force in time")
                return
            await asyncio.sleep(1)

    async def _restart(self, checks: Checks, before: Mapping[PageKey, Page]) -> None:
        """What is read back is what was in memory, and nothing is sent again."""
        if self.random.random() < 0.5:
            self.compact_rows(tombstones=self.random.random() < 0.5, older_s=1)
        for each in self.running:
            (each.kill if self.random.random() < 0.5 else each.stop)()
        await asyncio.sleep(25)
        for _ in range(self.random.choice([1, 2])):
            self.start_one()
        sent = {name: len(each.receipts) for name, each in self.receivers.items()}
        await self._calm("after the restart", 900)
        checks.look_at_restart(before, self.pages(), sent)

    async def _calm(self, when: str, within_s: float) -> bool:
        """Wait until everything is done, at several looks in a row."""
        calm, until, unfinished = 0, self.loop.time() + within_s, list[str]()
        while calm < _CALM_LOOKS:
            if self.loop.time() >= until:
                self._checks.add("not done in time", when, detail="; ".join(unfinished[:6]))
                return False
            await asyncio.sleep(_LOOK_S)
            unfinished = [*(reason for each in self.running for reason in each.unfinished()), *self._behind()]
            calm = 0 if unfinished else calm + 1
        return True

    def _behind(self) -> list[str]:
        found = []
        for name in sorted(self.destinations):
            group = self.broker.group(group_of("sla", name))
            if group.state != "stable":
                found.append(f"the group of {name} is {group.state}")
            for where, log in self.broker.logs.items():
                last = log.records[-1].offset + 1 if log.records else 0
                at = group.committed.get(where, (-1, ""))[0]
                if where.topic != ROWS and at < last:
                    found.append(f"{name} is at {at} of {log.end} in {where.topic}/{where.partition}")
        return found
