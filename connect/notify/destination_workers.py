"""The workers of all destinations of a routing file, which is exchanged while they run."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar, cast

import structlog
from aiokafka.errors import KafkaError

from connect.kafka_io.cancellation import finish
from connect.notify.destination_worker import DestinationWorker
from connect.notify.metrics import NotifyMetrics
from connect.notify.page_store_rows import StateRow
from connect.notify.routing.loaded import LEARNED_WITHIN_MS, LoadedRouting, RoutingInForce
from connect.notify.routing.recorded import (
    RecordedRoutes,
    outdated_rows,
    read_recorded,
    recorded_key,
    recorded_row,
)
from connect.notify.routing.rules import Routing
from streams.errors import SlaError
from streams.time_source import TimeSource

#: A new destination joins its consumer group within seconds; one that takes longer is told in the log.
_CONNECT_S = 30.0
_LOOK_AGAIN_S = 0.1
_ENDS_S = 2.0
_RECORD_AGAIN_S = 1.0

_T = TypeVar("_T")

MakeWorker = Callable[[str, LoadedRouting, RoutingInForce], DestinationWorker]


class _Running(NamedTuple):
    worker: DestinationWorker
    task: asyncio.Task[None]
    loaded: LoadedRouting
    """What configured it."""


class _Exchange:
    """A routing file that counts once its new destinations have joined their groups."""

    def __init__(self, loaded: LoadedRouting, late_at: float) -> None:
        self.loaded = loaded
        self.late_at = late_at
        """When to say that they have not, by the clock of the loop."""
        self.changed: list[str] = []
        self.reported_late = False
        self.at_start = False
        """Whether it is the file of a start, and other routes were in force before."""


class DestinationWorkers:
    """Runs a worker for each destination until it is cancelled. `make` gives one that has not begun."""

    def __init__(
        self, loaded: LoadedRouting, make: MakeWorker, metrics: NotifyMetrics, clock: TimeSource | None = None
    ) -> None:
        """With a `clock` routes are recorded in Kafka, and `routes_row` and `routes_read` are called with what is."""
        self._in_force = self._wanted = loaded
        self._clock = clock
        self._recorded: dict[bytes, RecordedRoutes] = {}
        """In their order."""
        self._restored = clock is None
        self._own_rows: set[bytes] = set()
        self._recording: asyncio.Task[None] | None = None
        self._made_anew = False
        """The topic of alerts was, and what is recorded is of the one before."""
        self._starts = False
        self._make = make
        self._metrics = metrics
        self._routing = RoutingInForce(loaded.routing)
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
        """Go on with another routing file: `run` exchanges it."""
        self._wanted = loaded
        self._metrics.routing_loaded()
        self._exchanged.set()

    @property
    def of_another(self) -> str | None:
        """The digest of the routing file of another notifier whose routes are in force in place of this one's."""
        other = self._in_force.routing.routes != self._wanted.routing.routes and self._exchange is None
        return self._in_force.digest if other and self._restored else None

    def alerts_made_anew(self) -> None:
        """The topic of alerts was deleted and made anew: none of its alerts was written before the routing in force."""
        self._routing.alerts_made_anew()
        if self._clock is not None:
            self._made_anew = True
            self._exchanged.set()

    def rows_made_anew(self, topic_id: bytes) -> None:
        """The topic of rows was deleted and made anew: destinations write their pages again, and one of them the routes
        that are in force."""
        for worker in self.workers:
            worker.rows_made_anew(topic_id)
        if self._recorded:
            if self._recording is not None:
                self._recording.cancel()
            self._recording = asyncio.create_task(self._record_again())

    async def _record_again(self) -> None:
        latest = recorded_row(list(self._recorded.values())[-1])

        async def record(worker: DestinationWorker) -> bool:
            await worker.record([latest])
            return True

        while not await self._by_any(record):
            await asyncio.sleep(_RECORD_AGAIN_S)

    async def _by_any(self, ask: Callable[[DestinationWorker], Awaitable[_T]]) -> _T | None:
        """What the first worker answers whose Kafka client works; None where none does."""
        for worker in self.workers:
            try:
                async with asyncio.timeout(_ENDS_S):
                    return await ask(worker)
            except (KafkaError, OSError, SlaError):  # a TimeoutError is an OSError
                continue
        return None

    def routes_row(self, key: bytes, value: bytes | None) -> None:
        """A row of routes, in the order in which they were recorded."""
        self._recorded.pop(key, None)
        if value is None:
            self._own_rows.discard(key)
            return
        if (found := read_recorded(key, value)) is None:
            return
        self._recorded[key] = found
        if self._restored:
            self._adopt(found)

    def routes_read(self) -> None:
        """All that was recorded before is known. Where the file of this notifier has other routes now, those of before
        hold until its own begin, as after a change of the file."""
        recorded = list(self._recorded.values())
        self._restored = True
        if recorded:
            self._routing.restore(recorded)
            self._in_force = self._with_routes(recorded[-1])
        if not recorded or recorded[-1].routes != self._wanted.routing.routes:
            self._starts = True
            self._exchanged.set()

    def _adopt(self, recorded: RecordedRoutes) -> None:
        """The latest routes of the log hold for all. Where another notifier has recorded them its file is newer, as far
        as anybody knows."""
        if recorded.routes == self._in_force.routing.routes:
            return
        in_force = self._with_routes(recorded)
        shared = recorded.shared or recorded.key not in self._own_rows
        doubt_until = recorded.at + LEARNED_WITHIN_MS if shared else 0
        self._routing.use(in_force.routing, recorded.begins, doubt_until=doubt_until, adopted=True)
        self._in_force = in_force
        other = recorded.routes != self._wanted.routing.routes
        self._metrics.routing_of_another(other)
        if recorded.key not in self._own_rows:
            self._log.info(
                "routing_of_another_notifier", digest=recorded.digest, own=self._wanted.digest, differs=other
            )

    def _with_routes(self, recorded: RecordedRoutes) -> LoadedRouting:
        """The destinations of this notifier's file, and the routes that were recorded."""
        if recorded.routes == self._wanted.routing.routes:
            return self._wanted
        routing = Routing(self._in_force.routing.destinations, recorded.routes)
        return LoadedRouting(routing, self._in_force.secrets, recorded.digest)

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
                    self._exchange = await self._begin(self._wanted)
                exchange = self._exchange
                if (
                    self._restored
                    and exchange is not None
                    and self._all_joined(exchange)
                    and await self._complete(exchange)
                ):
                    self._exchange = None
        finally:
            if self._recording is not None:
                self._recording.cancel()
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

    async def _begin(self, loaded: LoadedRouting) -> _Exchange:
        """Start new destinations: they join their groups before alerts are routed to them, or they would not read the
        first ones. Those of a file that was replaced before it counted end."""
        exchange = _Exchange(loaded, asyncio.get_running_loop().time() + _CONNECT_S)
        exchange.at_start, self._starts = self._starts, False
        after = loaded.routing.destinations
        gone = [name for name in self._running if name not in after and name not in self._in_force.routing.destinations]
        exchange.changed = [
            name for name, each in self._running.items() if name in after and not loaded.has_same(name, each.loaded)
        ]
        await self._stop([*gone, *exchange.changed])
        for name in after:
            if name not in self._running:
                self._start(name, loaded)
        return exchange

    def _all_joined(self, exchange: _Exchange) -> bool:
        """Whether the destinations that alerts are led to for the first time have joined; after a start the others
        too, unless that takes long: they know whether other notifiers run."""
        before = {name for route in self._in_force.routing.routes for name in route.to}
        away = [name for name in exchange.loaded.routing.destinations if self._running[name].worker.failure is not None]
        missing = [name for name in away if name not in before]
        late = asyncio.get_running_loop().time() >= exchange.late_at
        self._tell_late(exchange, missing)
        return not missing and (not away or late or not exchange.at_start)

    async def _complete(self, exchange: _Exchange) -> bool:
        """Route by the new file; False while Kafka does not say where its alerts begin. What is removed is stopped once
        nothing is routed there."""
        after = exchange.loaded.routing.destinations
        routed = {name for route in self._in_force.routing.routes for name in route.to}
        doubt, ends = 0, cast(Mapping[int, int], {})
        if self._must_record(exchange.loaded) or exchange.loaded.routing.routes != self._in_force.routing.routes:
            found = await self._begin_routes(exchange.loaded)
            if found is None:
                self._tell_late(exchange, sorted(self._running))
                return False
            doubt, ends = found
        added = [name for name in after if name not in routed]
        removed = [name for name in self._running if name not in after]
        self._routing.use(exchange.loaded.routing, ends, doubt_until=doubt)
        await self._stop(removed)
        self._in_force = exchange.loaded
        self._metrics.routing_of_another(False)
        self._log.info("routing_in_force", digest=self.digest, added=added, changed=exchange.changed, removed=removed)
        return True

    def _must_record(self, loaded: LoadedRouting) -> bool:
        latest = next(reversed(self._recorded.values()), None)
        return self._clock is not None and (self._made_anew or latest is None or latest.routes != loaded.routing.routes)

    async def _begin_routes(self, loaded: LoadedRouting) -> tuple[int, Mapping[int, int]] | None:
        """Record routes; until when other notifiers may not know of them, and where they begin. None while Kafka does
        not answer. The first ones, and those of a topic of alerts that was made anew, hold from its beginning."""

        async def begin(worker: DestinationWorker) -> tuple[int, Mapping[int, int]]:
            ends = await worker.alert_ends()
            if not self._must_record(loaded):
                return 0, ends
            assert self._clock is not None
            first = self._made_anew or not self._recorded
            at, shared = self._clock.now() // 1_000, any(each.shares for each in self.workers)
            furthest = self._routing.furthest()
            begins = {} if first else {each: max(end, furthest.get(each, 0)) for each, end in ends.items()}
            key = recorded_key(at, loaded.digest)
            found = RecordedRoutes(key, loaded.routing.routes, loaded.digest, begins, at, shared)
            left = [] if self._made_anew else [*self._recorded.values(), found]
            outdated = self._recorded.keys() - {key} if self._made_anew else ()
            obsolete = [StateRow(each, None) for each in sorted(outdated)]
            self._own_rows.add(key)
            await worker.record([recorded_row(found), *obsolete, *outdated_rows(left)])
            self._made_anew = False
            return (at + LEARNED_WITHIN_MS if shared else 0), ends

        return await self._by_any(begin)

    def _tell_late(self, exchange: _Exchange, missing: Sequence[str]) -> None:
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
