"""The workers of all destinations of a routing file, which is exchanged while they run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import structlog

from connect.notify.destination_worker import DestinationWorker
from connect.notify.metrics import NotifyMetrics
from connect.notify.routing.loaded import LoadedRouting, RoutingInForce
from streams.time_source import TimeSource

#: A new destination joins its consumer group within seconds; the new routes do not wait for longer than this for it.
_CONNECT_S = 30.0
_LOOK_AGAIN_S = 0.1

MakeWorker = Callable[[str, LoadedRouting, RoutingInForce], DestinationWorker]


class _Running(NamedTuple):
    worker: DestinationWorker
    task: asyncio.Task[None]


class DestinationWorkers:
    """Runs a worker for each destination until it is cancelled. `make` gives one that has not begun."""

    def __init__(self, loaded: LoadedRouting, make: MakeWorker, metrics: NotifyMetrics, clock: TimeSource) -> None:
        self._loaded = self._wanted = loaded
        self._make = make
        self._metrics = metrics
        self._clock = clock
        self._routing = RoutingInForce(loaded.routing)
        self._running: dict[str, _Running] = {}
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
        return self._loaded.digest

    def use(self, loaded: LoadedRouting) -> None:
        """Go on with another routing file: `run` exchanges it."""
        self._wanted = loaded
        self._metrics.routing_loaded()
        self._exchanged.set()

    async def run(self) -> None:
        """Run the workers. Returns when one has ended by itself, or raises what ended it."""
        try:
            for name in self._loaded.routing.destinations:
                self._start(name, self._loaded)
            while True:
                exchanged = asyncio.create_task(self._exchanged.wait())
                tasks = [each.task for each in self._running.values()]
                try:
                    await asyncio.wait([exchanged, *tasks], return_when=asyncio.FIRST_COMPLETED)
                finally:
                    exchanged.cancel()
                if ended := [each for each in tasks if each.done()]:
                    return ended[0].result()
                self._exchanged.clear()
                await self._exchange(self._wanted)
        finally:
            await self._stop(list(self._running))

    async def _exchange(self, loaded: LoadedRouting) -> None:
        """New destinations join their groups before alerts are routed to them, or they would not read the first ones.
        What is removed is stopped once nothing is routed there."""
        before, after = self._loaded.routing.destinations, loaded.routing.destinations
        added = [name for name in after if name not in before]
        removed = [name for name in before if name not in after]
        changed = [name for name in after if name in before and not loaded.has_same(name, self._loaded)]
        await self._stop(changed)
        for name in (*changed, *added):
            self._start(name, loaded)
        await self._connected(added)
        self._routing.use(loaded.routing, self._clock.now())
        await self._stop(removed)
        self._loaded = loaded
        self._log.info("routing_in_force", digest=loaded.digest, added=added, changed=changed, removed=removed)

    async def _connected(self, names: Iterable[str]) -> None:
        workers = [self._running[name].worker for name in names]
        try:
            async with asyncio.timeout(_CONNECT_S):
                while any(each.failure is not None for each in workers):
                    await asyncio.sleep(_LOOK_AGAIN_S)
        except TimeoutError:
            late = [each.name for each in workers if each.failure is not None]
            self._log.warning("destinations_not_connected", destinations=late, waited_s=_CONNECT_S)

    def _start(self, name: str, loaded: LoadedRouting) -> None:
        worker = self._make(name, loaded, self._routing)
        self._running[name] = _Running(worker, asyncio.create_task(worker.run()))

    async def _stop(self, names: Iterable[str]) -> None:
        """Requests in flight may end."""
        stopped = [self._running.pop(name) for name in names]
        for each in stopped:
            each.task.cancel()
        await asyncio.gather(*(each.task for each in stopped), return_exceptions=True)
        for each in stopped:
            self._metrics.forget(each.worker.name)
