"""The workers of all destinations of a routing file, which is exchanged while they run."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import structlog
from aiokafka.errors import KafkaError

from connect.kafka_io.cancellation import finish
from connect.notify.destination_worker import DestinationWorker
from connect.notify.metrics import NotifyMetrics
from connect.notify.routing.loaded import LoadedRouting, RoutingInForce
from streams.errors import SlaError

#: A new destination joins its consumer group within seconds; one that takes longer is told in the log.
_CONNECT_S = 30.0
_LOOK_AGAIN_S = 0.1
_ENDS_S = 2.0

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


class DestinationWorkers:
    """Runs a worker for each destination until it is cancelled. `make` gives one that has not begun."""

    def __init__(self, loaded: LoadedRouting, make: MakeWorker, metrics: NotifyMetrics) -> None:
        self._in_force = self._wanted = loaded
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

    def alerts_made_anew(self) -> None:
        """The topic of alerts was deleted and made anew: none of its alerts was written before the routing in force."""
        self._routing.alerts_made_anew()

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
                if exchange is not None and self._all_joined(exchange) and await self._complete(exchange):
                    self._exchange = None
        finally:
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
        before, after = self._in_force.routing.destinations, exchange.loaded.routing.destinations
        missing = [name for name in after if name not in before and self._running[name].worker.failure is not None]
        self._tell_late(exchange, missing)
        return not missing

    async def _complete(self, exchange: _Exchange) -> bool:
        """Route by the new file; False while Kafka does not say where its alerts begin. What is removed is stopped once
        nothing is routed there."""
        before, after = self._in_force.routing.destinations, exchange.loaded.routing.destinations
        if exchange.loaded.routing.routes == self._in_force.routing.routes:
            ends: Mapping[int, int] | None = {}
        else:
            ends = await self._alert_ends()
        if ends is None:
            self._tell_late(exchange, sorted(self._running))
            return False
        added = [name for name in after if name not in before]
        removed = [name for name in before if name not in after]
        self._routing.use(exchange.loaded.routing, ends)
        await self._stop(removed)
        self._in_force = exchange.loaded
        self._log.info("routing_in_force", digest=self.digest, added=added, changed=exchange.changed, removed=removed)
        return True

    async def _alert_ends(self) -> Mapping[int, int] | None:
        """Of the first worker that has an answer."""
        for worker in self.workers:
            try:
                async with asyncio.timeout(_ENDS_S):
                    return await worker.alert_ends()
            except (KafkaError, OSError, SlaError):  # a TimeoutError is an OSError
                continue
        return None

    def _tell_late(self, exchange: _Exchange, missing: Sequence[str]) -> None:
        if missing and asyncio.get_running_loop().time() >= exchange.late_at:
            self._log.warning("destinations_not_connected", destinations=missing, waited_s=_CONNECT_S)
            exchange.late_at = math.inf

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
