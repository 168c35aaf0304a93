"""What goes wrong, by profile: cuts, suspensions, kills, rebalances, edits of routes, topics that change."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from . import routes
from .incidents import ALERTS, INCIDENTS, ROWS
from .notifier import Notifier

if TYPE_CHECKING:
    from .world import World

#: The faults of each profile; more often what is there more often.
PROFILES: Mapping[str, Sequence[str]] = {
    "none": (),
    "mixed": ("kill", "kill", "suspend", "cut", "cut", "slow", "rebalance", "receiver", "receiver", "receiver", "stop",
              "compact", "cut and kill", "retention"),
    "cut": ("cut", "cut", "receiver", "receiver", "compact"),
    "kill": ("kill", "kill", "receiver", "rebalance", "compact"),
    "zombie": ("suspend", "cut", "rebalance", "rebalance", "receiver", "receiver", "kill", "compact", "two at once"),
    "edit": ("edit", "edit", "kill", "cut", "receiver", "rebalance", "suspend", "stop",
             "slow edits", "slow edits"),
    "park": ("reject", "reject", "operator", "kill", "cut", "receiver", "suspend", "rebalance"),
    "digests": ("kill", "suspend", "cut", "receiver", "receiver", "rebalance", "compact"),
    "anew": ("kill", "cut", "receiver", "rebalance", "anew", "suspend", "retention"),
    "rows-anew": ("receiver", "rows anew", "compact"),
}  # fmt: skip
_EVERY_S = 9.0


class Faults:
    """Of one world, until a time. Methods are named as the faults are."""

    def __init__(self, world: World, profile: str) -> None:
        self._world = world
        self._random = world.random
        self._net = world.broker.net
        self._kinds = PROFILES[profile]

    async def run(self, until: float) -> None:
        while self._kinds and self._world.loop.time() < until:
            await asyncio.sleep(self._random.expovariate(1 / _EVERY_S))
            kind = self._random.choice(self._kinds)
            running = self._world.running
            if not running:
                continue
            notifier = self._random.choice(running)
            self._world.counts[kind] += 1
            self._world.say("fault", kind=kind, of=notifier.number)
            act: Callable[[Notifier], Awaitable[None] | None] = getattr(self, f"_{kind.replace(' ', '_')}")
            if (work := act(notifier)) is not None:
                await work

    # -- processes -----------------------------------------------------------------------------------------------------

    def _kill(self, _: Notifier) -> None:
        """Whoever has its turn some steps later."""
        self._world.kill_within(self._random.choice([5, 100, 2_000]))

    def _suspend(self, notifier: Notifier) -> None:
        loop = self._world.loop
        if notifier.suspended:
            return
        seconds = self._random.choice([self._random.uniform(1, 6), self._random.uniform(8, 40)])
        loop.freeze(notifier.number)

        def resume() -> None:
            if notifier.state != "dead":
                loop.thaw(notifier.number)
                self._world.say("resumed", of=notifier.number)

        self._net.later(seconds, resume)

    def _cut(self, notifier: Notifier) -> None:
        longest = self._random.choice([(1, 9), (9, 20), (10, 60)])
        self._cut_off(notifier, self._random.uniform(*longest))

    def _cut_off(self, notifier: Notifier, seconds: float) -> None:
        self._net.cut.add(notifier.number)

        def heal() -> None:
            self._net.heal(notifier.number)
            self._world.say("healed", of=notifier.number)

        self._net.later(seconds, heal)

    def _cut_and_kill(self, notifier: Notifier) -> None:
        killed_s = self._random.uniform(0.1, 12)
        self._cut_off(notifier, killed_s + self._random.uniform(0, 30))
        self._net.later(killed_s, notifier.kill)
        self._net.later(killed_s + self._random.uniform(0, 12), self._world.start_missing)

    def _slow(self, _: Notifier) -> None:
        self._net.slow_s = self._random.choice([0.5, 3, 8, 14])
        self._net.slow_kinds = set(
            self._random.sample(["produce", "group", "fetch", "meta"], self._random.randrange(1, 5))
        )
        self._net.later(self._random.uniform(2, 25), lambda: setattr(self._net, "slow_s", 0.0))

    def _rebalance(self, notifier: Notifier) -> None:
        if len(self._world.running) < self._world.most or self._random.random() < 0.3:
            self._world.start_one()
        else:
            notifier.stop()
        if self._random.random() < 0.5:
            self._world.kill_within(1_500)

    async def _two_at_once(self, notifier: Notifier) -> None:
        """One joins, one is killed, and another one joins."""
        self._world.start_one()
        await asyncio.sleep(self._random.uniform(0, 4))
        self._random.choice(self._world.running or [notifier]).kill()
        self._net.later(self._random.uniform(0, 5), self._world.start_missing)

    def _stop(self, notifier: Notifier) -> None:
        notifier.stop()
        self._net.later(self._random.uniform(0, 10), self._world.start_missing)

    # -- receivers and operators ---------------------------------------------------------------------------------------

    def _receiver(self, _: Notifier) -> None:
        self._set_mode(self._random.choice(["down", "unsure", "unsure"]))

    def _reject(self, _: Notifier) -> None:
        self._set_mode("rejects")

    def _set_mode(self, mode: str) -> None:
        receiver = self._world.receivers[self._random.choice(sorted(self._world.destinations))]
        receiver.mode = mode
        self._net.later(self._random.uniform(3, 40), lambda: setattr(receiver, "mode", "up"))

    def _operator(self, _: Notifier) -> None:
        self._world.operator.retry_some(0.5)

    def _edit(self, _: Notifier) -> None:
        """Not all notifiers get the new file, and none at once."""
        name = self._random.choice(routes.EDITED)
        self._world.set_routes(name)
        for each in self._world.running:
            if self._random.random() < 0.8:
                self._net.later(self._random.uniform(0, 8), lambda each=each: self._world.give_file(each, name))

    def _slow_edits(self, notifier: Notifier) -> None:
        """Rows take long to land, so that recordings are given up; files change meanwhile, and back."""
        world, random = self._world, self._random
        self._net.slow_s, self._net.slow_kinds = random.choice([3, 8, 14]), {"produce"}
        self._net.later(random.uniform(5, 25), lambda: setattr(self._net, "slow_s", 0.0))
        names = random.sample(routes.EDITED, 2)
        at = 0.0
        for name in (world.routes, *names, random.choice([*names, world.routes])):
            at += random.choice([0.05, 2.5, 6]) * random.random()
            for each in random.choice([[notifier], world.running]):
                self._net.later(at, lambda each=each, name=name: self._give(each, name))
        if random.random() < 0.3:
            self._net.later(at, notifier.kill)
            self._net.later(at + random.uniform(0, 12), world.start_missing)

    def _give(self, notifier: Notifier, name: str) -> None:
        self._world.set_routes(name)
        self._world.give_file(notifier, name)

    # -- topics --------------------------------------------------------------------------------------------------------

    def _compact(self, _: Notifier) -> None:
        self._world.compact_rows(tombstones=False)

    def _retention(self, _: Notifier) -> None:
        for topic in (ALERTS, INCIDENTS):
            self._world.histories.delete_read(topic, 0.5)

    def _anew(self, _: Notifier) -> None:
        topic = self._random.choice([ALERTS, INCIDENTS])
        if topic in self._world.broker.ids:
            self._world.histories.make_anew(topic, self._random.choice([0, 0, 1, 6]))

    async def _rows_anew(self, _: Notifier) -> None:
        """The one notifier has time to write into the new topic what it has in memory."""
        self._world.broker.make_anew(ROWS, self._random.choice([0, 0, 1, 6]))
        await asyncio.sleep(30)
