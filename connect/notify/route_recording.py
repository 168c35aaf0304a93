"""Records the routes in force in Kafka, through any destination whose client works (`routing/recorded.py`)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import structlog
from aiokafka.errors import KafkaError

from connect.notify.destination_worker import DestinationWorker
from connect.notify.page_store_rows import StateRow
from connect.notify.routing.loaded import LoadedRouting, RoutingInForce
from connect.notify.routing.recorded import (
    RecordedRoutes,
    outdated_rows,
    read_recorded,
    recorded_key,
    recorded_row,
)
from connect.notify.routing.rules import Route
from streams.errors import SlaError
from streams.kafka.cancellation import cancelled_by_us
from streams.log_damper import CrashLog
from streams.time_source import TimeSource

#: All destinations are asked within this: they have one Kafka, so where one gets no answer, the others hardly do.
_ASK_S = 2.0
_RECORD_AGAIN_S = 1.0
#: A row that Kafka has taken is read within this, or was lost.
_READ_S = 30.0

_T = TypeVar("_T")


class _Taken(NamedTuple):
    """A row that Kafka has taken, which is read soon."""

    routes: tuple[Route, ...]
    number: int
    until: float
    """By the clock of the loop."""


class RouteRecording:
    """What is recorded, as far as it was read, and the writing of it. Without a `clock` nothing is recorded."""

    def __init__(
        self, workers: Callable[[], Sequence[DestinationWorker]], routing: RoutingInForce, clock: TimeSource | None
    ) -> None:
        self._workers = workers
        self._routing = routing
        self._clock = clock
        self._recorded: dict[bytes, RecordedRoutes] = {}
        """Those that count, in their order."""
        self._number = 0
        """Of the last one that counts."""
        self._late: set[bytes] = set()
        """Rows that don't count."""
        self._own_rows: set[bytes] = set()
        self._taken: _Taken | None = None
        self._counted = asyncio.Event()
        """Another row counts."""
        self._again: asyncio.Task[None] | None = None
        self._alerts_made_anew = False
        """What is recorded is of the topic of alerts before."""
        self._first_asked = 0
        self._crashes = CrashLog(structlog.get_logger("connect.notify"), "routes_not_recorded")

    @property
    def recorded(self) -> Sequence[RecordedRoutes]:
        """The oldest first."""
        return list(self._recorded.values())

    @property
    def latest(self) -> RecordedRoutes | None:
        return next(reversed(self._recorded.values()), None)

    def is_own(self, recorded: RecordedRoutes) -> bool:
        """Whether this notifier has recorded it."""
        return recorded.key in self._own_rows

    def read(self, key: bytes, value: bytes | None) -> RecordedRoutes | None:
        """The routes of a row that counts, in the order in which they were recorded; None where it deletes some, is not
        of a notifier of this release, or came too late."""
        found = None if value is None else read_recorded(key, value)
        if found is None:
            self._recorded.pop(key, None)
            self._own_rows.discard(key)
            self._late.discard(key)
            return None
        if 0 < found.number <= self._number:
            if key not in self._recorded:
                self._late.add(key)
            return None
        self._recorded.pop(key, None)
        self._recorded[key] = found
        self._number = found.number
        self._own_rows &= {key}  # what was made before this can't count any more
        self._late.discard(key)
        self._alerts_made_anew = self._alerts_made_anew and bool(found.begins)
        self._counted.set()
        self.stop()  # what is recorded again is older
        return found

    def alerts_made_anew(self) -> bool:
        """The topic of alerts was deleted and made anew; whether routes have to be recorded for it."""
        self._alerts_made_anew = self._clock is not None
        return self._alerts_made_anew

    def rows_made_anew(self) -> None:
        """The topic of rows was deleted and made anew: the latest are recorded again, until that succeeds."""
        self.stop()
        self._taken = None
        if (latest := self.latest) is not None:
            self._again = asyncio.create_task(self._record(recorded_row(latest)))

    def stop(self) -> None:
        if self._again is not None:
            self._again.cancel()
            self._again = None

    def needs(self, loaded: LoadedRouting) -> bool:
        """Whether its routes have to be recorded before they are in force. So it is where they are, but others were
        given up that may come to count yet."""
        routes, latest = loaded.routing.routes, self.latest
        return self._clock is not None and (
            self._alerts_made_anew
            or latest is None
            or latest.routes != routes
            or any(each != routes for each in self._routing.may_begin)
        )

    async def begin(self, loaded: LoadedRouting) -> Mapping[int, int] | None:
        """Record routes, where that is needed: the offset after the last alert of each partition. None while Kafka does
        not answer, or has not given the row back: it may have come behind another one, and not count. The first ones,
        and those of a topic of alerts that was made anew, hold from its beginning."""
        number = self._number + 1

        async def begin(worker: DestinationWorker) -> Mapping[int, int]:
            ends = await worker.alert_ends()
            if self._clock is None or number != self._number + 1 or not self.needs(loaded):
                return ends
            routes, key = loaded.routing.routes, recorded_key(at := self._clock.now() // 1_000, loaded.digest)
            shared = any(each.shares for each in self._workers())
            first = self._alerts_made_anew or not self._recorded
            unsure = routes in self._routing.may_begin
            begins = {} if first else self._routing.begin(loaded.routing, ends)
            found = RecordedRoutes(key, routes, loaded.digest, begins, at, shared, number)
            left = [] if self._alerts_made_anew else [*self._recorded.values(), found]
            outdated = self._recorded.keys() - {key} if self._alerts_made_anew else set[bytes]()
            obsolete = [StateRow(each, None) for each in sorted(outdated | self._late - {key})]
            self._own_rows.add(key)
            self.stop()
            self._counted.clear()
            try:
                await worker.record([recorded_row(found), *obsolete, *outdated_rows(left)])
            except SlaError:  # before anything was sent
                if not unsure:
                    self._routing.not_begun(routes)
                raise
            self._taken = _Taken(routes, number, asyncio.get_running_loop().time() + _READ_S)
            await self._counted.wait()
            return ends

        if self._is_taken(loaded, number):
            return None
        ends = await self._by_any(begin)
        return None if self.needs(loaded) else ends

    def _is_taken(self, loaded: LoadedRouting, number: int) -> bool:
        taken = self._taken
        return (
            taken is not None
            and (taken.routes, taken.number) == (loaded.routing.routes, number)
            and asyncio.get_running_loop().time() < taken.until
        )

    async def has_begun(self, worker: DestinationWorker) -> bool | None:
        """Whether a destination has a start in every partition; None while Kafka does not answer."""
        return await self._by_any(lambda each: each.has_begun(), [worker])

    async def _record(self, row: StateRow) -> None:
        async def record(worker: DestinationWorker) -> bool:
            await worker.record([row])
            return True

        while not await self._by_any(record):
            await asyncio.sleep(_RECORD_AGAIN_S)

    async def _by_any(
        self, ask: Callable[[DestinationWorker], Awaitable[_T]], of: Sequence[DestinationWorker] | None = None
    ) -> _T | None:
        """What the first worker answers whose Kafka client works; None where none does in time. Whoever gave no answer
        is asked last the next time."""
        workers = self._workers() if of is None else of
        first = self._first_asked % max(len(workers), 1)
        try:
            async with asyncio.timeout(_ASK_S):
                for worker in [*workers[first:], *workers[:first]]:
                    try:
                        return await ask(worker)
                    except asyncio.CancelledError:
                        if cancelled_by_us():
                            raise
                        self._first_asked += 1
                    except (KafkaError, OSError, SlaError):
                        self._first_asked += 1
                    except Exception as error:  # such as an AssertionError of a client that is being closed
                        self._crashes.caught(error, consequence="another destination's client is asked")
                        self._first_asked += 1
        except TimeoutError:
            self._first_asked += 1
        return None
