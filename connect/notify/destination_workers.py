"""The workers of all destinations of a routing file, which is exchanged while they run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import structlog

from connect.kafka_io.cancellation import finish
from connect.notify.destination_worker import DestinationWorker
from connect.notify.metrics import NotifyMetrics
from connect.notify.route_recording import RouteRecording
from connect.notify.routing.loaded import LEARNED_WITHIN_MS, LoadedRouting, RoutingInForce
from connect.notify.routing.recorded import RecordedRoutes
from streams.time_source import TimeSource

#: A new destination joins its consumer group within seconds; one that takes longer is told in the log.
_CONNECT_S = 30.0
_LOOK_AGAIN_S = 0.1
#: How long routes wait for the starts of new destinations in partitions of other notifiers: these commit them within
#: seconds of joining, or lose the partitions, unless another program has them.
_BEGIN_S = 120.0

MakeWorker = Callable[[str, LoadedRouting, RoutingInForce], DestinationWorker]


class _Running(NamedTuple):
    worker: DestinationWorker
    task: asyncio.Task[None]
    loaded: LoadedRouting
    """What configured it."""


class _Exchange:
    """A routing file that counts once its new destinations have joined their groups."""

    def __init__(self, own: LoadedRouting, late_at: float, *, begins: bool, at_start: bool) -> None:
        self.own = own
        self.begins = begins
        """Whether its routes are to be in force. Otherwise those in force stay, which may be of another notifier."""
        self.late_at = late_at
        """When to say that they have not, by the clock of the loop."""
        self.changed: list[str] = []
        self.reported_late = False
        self.begun = set[str]()
        """New destinations that have a start in every partition."""
        self.missing: Sequence[str] = ()
        """New destinations that are waited for."""
        self.give_up_at: float | None = None
        """When starts are waited for no longer, by the clock of the loop."""
        self.given_up = False
        self.at_start = at_start
        """Whether it is the file of a start, and other routes were in force before."""


def _led_to(loaded: LoadedRouting) -> frozenset[str]:
    """The destinations that its routes lead to."""
    return frozenset(name for route in loaded.routing.routes for name in route.to)


class DestinationWorkers:
    """Runs a worker for each destination until it is cancelled. `make` gives one that has not begun."""

    def __init__(
        self, loaded: LoadedRouting, make: MakeWorker, metrics: NotifyMetrics, clock: TimeSource | None = None
    ) -> None:
        """With a `clock` routes are recorded in Kafka, and `routes_row` and `routes_read` are called with what is."""
        self._in_force = self._wanted = loaded
        self._restored = clock is None
        self._begins = False
        """Whether the routes of this notifier's file are to be in force, in place of what is: it is new."""
        self._starts = False
        self._make = make
        self._metrics = metrics
        self._routing = RoutingInForce(loaded.routing)
        self._recording = RouteRecording(lambda: self.workers, self._routing, clock)
        self._running: dict[str, _Running] = {}
        self._exchange: _Exchange | None = None
        self._exchanged = asyncio.Event()
        self._log = structlog.get_logger("connect.notify")
        metrics.routing_loaded()

    @property
    def workers(self) -> Sequence[DestinationWorker]:
        """Those that run."""
        return [each.worker for each in self._running.values()]

    @property
    def digest(self) -> str:
        """Identifies the routing file in force."""
        return self._in_force.digest

    def use(self, loaded: LoadedRouting) -> None:
        """Go on with another routing file: `run` exchanges it. One that is the same is to be in force too, whatever
        other notifiers have recorded; one of which only secrets are new changes no routes."""
        only_secrets = loaded.digest == self._wanted.digest and loaded.secrets != self._wanted.secrets
        self._begins = self._begins or not only_secrets
        self._wanted = loaded
        self._metrics.routing_loaded()
        self._exchanged.set()

    @property
    def waits_for(self) -> Sequence[str]:
        """New destinations that a changed file waits for: they have not joined, or have no start yet in partitions of
        other notifiers."""
        return () if self._exchange is None else self._exchange.missing

    @property
    def of_another(self) -> str | None:
        """The digest of the routing file of another notifier whose routes are in force in place of this one's."""
        begin = self._exchange is not None and self._exchange.begins
        other = self._in_force.routing.routes != self._wanted.routing.routes and not begin
        return self._in_force.digest if other and self._restored else None

    def same_topics(self) -> None:
        """Kafka says that all topics are those of the last look."""
        for worker in self.workers:
            worker.same_topics()

    def read_anew(self, topic: str, topic_id: bytes) -> None:
        """A topic of alerts or closings was deleted and made anew, with this id."""
        for worker in self.workers:
            worker.positions.made_anew(topic, topic_id)

    def alerts_made_anew(self) -> None:
        """The topic of alerts was deleted and made anew: none of its alerts was written before the routing in force."""
        self._routing.alerts_made_anew()
        if self._recording.alerts_made_anew():
            self._exchanged.set()

    def rows_made_anew(self, topic_id: bytes) -> None:
        """The topic of rows was deleted and made anew: destinations write their pages again, and one of them the routes
        that are in force."""
        for worker in self.workers:
            worker.rows_made_anew(topic_id)
        self._recording.rows_made_anew()

    def routes_row(self, key: bytes, value: bytes | None) -> None:
        """A row of routes, in the order in which they were recorded."""
        found = self._recording.read(key, value)
        if found is not None and self._restored:
            self._adopt(found)

    def routes_read(self) -> None:
        """All that was recorded before is known. Where the file of this notifier has other routes now, those of before
        hold until its own begin, as after a change of the file."""
        recorded = self._recording.recorded
        self._restored = True
        if recorded:
            self._routing.restore(recorded)
            self._in_force = self._with_routes(recorded[-1])
        if not recorded or recorded[-1].routes != self._wanted.routing.routes:
            self._begins = self._starts = True
            self._exchanged.set()

    def _adopt(self, recorded: RecordedRoutes) -> None:
        """The latest routes of the log hold for all. Where another notifier has recorded them its file is newer, as far
        as anybody knows. Nothing else that this one has begun can count any more."""
        exchange, own = self._exchange, self._routing.own
        if exchange is not None and exchange.begins and recorded.routes == exchange.own.routing.routes:
            own = exchange.own.routing
            self._came_into_force(exchange)
        if recorded.routes == self._in_force.routing.routes:
            self._routing.not_begun()
            return
        in_force = self._with_routes(recorded)
        of_another = not self._recording.is_own(recorded)
        doubt_until = recorded.at + LEARNED_WITHIN_MS if recorded.shared or of_another else 0
        self._routing.use(in_force.routing, recorded.begins, doubt_until=doubt_until, own=own, shared=of_another)
        self._in_force = in_force
        other = recorded.routes != self._wanted.routing.routes
        self._metrics.routing_of_another(self.of_another is not None)
        if of_another:
            self._log.info(
                "routing_of_another_notifier", digest=recorded.digest, own=self._wanted.digest, differs=other
            )

    def _with_routes(self, recorded: RecordedRoutes) -> LoadedRouting:
        """The destinations of this notifier's file, and the routes that were recorded."""
        if recorded.routes == self._wanted.routing.routes:
            return self._wanted
        return self._in_force.with_routes(recorded.routes, recorded.digest)

    async def run(self) -> None:
        """Run the workers. Returns when one has ended by itself, or raises what ended it."""
        try:
            for name in self._in_force.routing.destinations:
                self._start(name, self._in_force)
            while True:
                if (ended := await self._ended()) is not None:
                    return ended.result()
                if self._exchanged.is_set():
                    self._exchanged.clear()
                    self._exchange = await self._begin()
                exchange = self._exchange
                if (
                    self._restored
                    and exchange is not None
                    and self._all_joined(exchange)
                    and await self._complete(exchange)
                ):
                    self._exchange = None
        finally:
            self._recording.stop()
            await self._stop(list(self._running))

    async def _ended(self) -> asyncio.Task[None] | None:
        """Waits for another routing file, a little while for destinations that join, or the end of a worker, which is
        returned."""
        exchanged = asyncio.create_task(self._exchanged.wait())
        tasks = [each.task for each in self._running.values()]
        timeout = None if self._exchange is None else _LOOK_AGAIN_S
        try:
            await asyncio.wait([exchanged, *tasks], timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            exchanged.cancel()
        return next((each for each in tasks if each.done()), None)

    async def _begin(self) -> _Exchange:
        """Start new destinations: they join their groups before alerts are routed to them, or they would not read the
        first ones. Those of a file that was replaced before it counted end."""
        own, late_at = self._wanted, asyncio.get_running_loop().time() + _CONNECT_S
        exchange = _Exchange(own, late_at, begins=self._begins, at_start=self._starts)
        self._starts = False
        after = own.routing.destinations
        gone = [name for name in self._running if name not in after and name not in self._in_force.routing.destinations]
        exchange.changed = [
            name for name, each in self._running.items() if name in after and not own.has_same(name, each.loaded)
        ]
        await self._stop([*gone, *exchange.changed])
        for name in after:
            if name not in self._running:
                self._start(name, own)
        return exchange

    def _routing_of(self, exchange: _Exchange) -> LoadedRouting:
        if exchange.begins:
            return exchange.own
        return exchange.own.with_routes(self._in_force.routing.routes, self._in_force.digest)

    def _came_into_force(self, exchange: _Exchange) -> None:
        """Its routing has not to be put in force any more."""
        exchange.begins = False
        self._begins = self._begins and self._wanted is not exchange.own

    def _all_joined(self, exchange: _Exchange) -> bool:
        """Whether the destinations that alerts are led to for the first time have joined; after a start the others
        too, unless that takes long: they know whether other notifiers run."""
        before = _led_to(self._in_force)
        away = [name for name in exchange.own.routing.destinations if self._running[name].worker.failure is not None]
        missing = [name for name in away if name not in before]
        late = asyncio.get_running_loop().time() >= exchange.late_at
        self._tell_late(exchange, missing)
        return not missing and (not away or late or not exchange.at_start)

    async def _complete(self, exchange: _Exchange) -> bool:
        """Route by the new file; False while Kafka does not say where its alerts begin. What is removed is stopped once
        nothing is routed there."""
        loaded = self._routing_of(exchange)
        after = loaded.routing.destinations
        routed = _led_to(self._in_force)
        if not await self._all_begun(exchange, sorted(_led_to(loaded) - routed)):
            return False
        ends: Mapping[int, int] = {}
        if self._recording.needs(loaded) or loaded.routing.routes != self._in_force.routing.routes:
            found = await self._recording.begin(loaded)
            if found is None:
                self._tell_late(exchange, sorted(self._running))
                return False
            ends = found
            loaded = self._routing_of(exchange)  # routes that were recorded are in force
        added = [name for name in after if name not in routed]
        removed = [name for name in self._running if name not in after]
        self._routing.use(loaded.routing, ends, own=exchange.own.routing)
        # Before what is removed ends: others may be in force by then.
        self._in_force = loaded
        self._came_into_force(exchange)
        for name in removed:
            if any((left := self._metrics.left(name)).values()):
                self._log.warning(
                    "destination_removed", absent=name, **left, consequence="they wait until it comes back"
                )
        await self._stop(removed)
        self._metrics.routing_of_another(self.of_another is not None)
        self._log.info("routing_in_force", digest=loaded.digest, added=added, changed=exchange.changed, removed=removed)
        return True

    async def _all_begun(self, exchange: _Exchange, new: Sequence[str]) -> bool:
        """Whether the destinations that alerts are led to for the first time have a start in every partition. Another
        notifier that has a partition may be killed before it commits one: whoever takes over starts with what is new,
        and alerts that were led there before would be left out. Asks for one after the other: few wait for long."""
        now = asyncio.get_running_loop().time()
        missing, answer = [name for name in new if name not in exchange.begun], None
        while missing and (answer := await self._recording.has_begun(self._running[missing[0]].worker)):
            exchange.begun.add(missing.pop(0))
        self._tell_late(exchange, missing)
        if exchange.give_up_at is None or answer is None:  # only while Kafka answers do they take long themselves
            exchange.give_up_at = now + _BEGIN_S
        if missing and now >= exchange.give_up_at and not exchange.given_up:
            self._log.warning("destinations_not_begun", destinations=missing, waited_s=_BEGIN_S)
            exchange.given_up = True
        return not missing or exchange.given_up

    def _tell_late(self, exchange: _Exchange, missing: Sequence[str]) -> None:
        exchange.missing = missing
        if missing and not exchange.reported_late and asyncio.get_running_loop().time() >= exchange.late_at:
            self._log.warning("destinations_not_connected", destinations=missing, waited_s=_CONNECT_S)
            exchange.reported_late = True

    def _start(self, name: str, loaded: LoadedRouting) -> None:
        worker = self._make(name, loaded, self._routing)
        self._running[name] = _Running(worker, asyncio.create_task(worker.run()), loaded)

    async def _stop(self, names: Iterable[str]) -> None:
        """Requests in flight may end. It ends within seconds, and is not cut short: what was sent is to be written."""
        await finish(self._end([self._running.pop(name) for name in names]))

    async def _end(self, stopped: Sequence[_Running]) -> None:
        for each in stopped:
            each.task.cancel()
        await asyncio.gather(*(each.task for each in stopped), return_exceptions=True)
        for each in stopped:
            self._metrics.forget(each.worker.name)
