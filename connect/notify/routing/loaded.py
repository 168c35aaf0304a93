"""A routing file with the secrets that it names, as they were read at one instant; and the one that is in force."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

import structlog

from connect.notify.destinations.kind import Secrets
from connect.notify.destinations.secrets import read_destination_secrets
from connect.notify.read_records import MOST_IN_SHORT, Latest
from connect.notify.routing.file import routing_in
from connect.notify.routing.recorded import MOST_RECORDED, RecordedRoutes
from connect.notify.routing.rules import Route, Routing
from connect.notify.triggers import PageTrigger
from streams.config_files.reload import content_digest
from streams.errors import SettingsError
from streams.i18n.catalogues import Language

#: Changes of routes that are remembered.
_MOST_ROUTINGS = MOST_RECORDED
#: Other notifiers know of changed routes within this, in milliseconds.
LEARNED_WITHIN_MS = 10_000
#: Different destinations of alerts that are remembered.
_MOST_EQUAL = 1_000


@dataclass(frozen=True, slots=True)
class LoadedRouting:
    """The routing and the secrets of each destination. `digest` is that of the file
    (`content_digest`)."""

    routing: Routing
    secrets: Mapping[str, Secrets]
    digest: str

    def has_same(self, name: str, other: LoadedRouting) -> bool:
        """Whether a destination of both is configured alike, secrets included."""
        mine, its = self.routing.destinations[name], other.routing.destinations[name]
        return mine == its and self.secrets[name] == other.secrets[name]

    def with_routes(self, routes: tuple[Route, ...], digest: str) -> LoadedRouting:
        """Its destinations and secrets, and the routes of another file with that digest; itself where it has these."""
        if routes == self.routing.routes:
            return self
        return LoadedRouting(Routing(self.routing.destinations, routes), self.secrets, digest)


class RoutingLoader:
    """Reads a routing file and the secrets that it names."""

    def __init__(self, path: Path, environment: Mapping[str, str]) -> None:
        self._path = path
        self._environment = environment
        self._secret_files: list[Path] = []

    def load(self) -> LoadedRouting:
        """Raises RoutingError, SettingsError, OSError."""
        content = routing_content(self._path)
        routing = routing_in(content, str(self._path))
        refs = [ref for each in routing.destinations.values() for ref in (each.secret, *each.signing)]
        self._secret_files = [Path(name) for name in sorted({ref.name for ref in refs if ref.kind == "file"})]
        secrets = read_destination_secrets(routing.destinations.values(), self._environment)
        return LoadedRouting(routing, secrets, content_digest(content))

    def files(self) -> Iterable[Path]:
        """The routing file, and the files of secrets that it named when it was last read."""
        return [self._path, *self._secret_files]


def routing_content(path: Path) -> bytes:
    """Raises SettingsError where there is no file, OSError when it can't be read."""
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        problem = f"there is no routing file {path}; set SLA_NOTIFY_ROUTES or write --routes"
        raise SettingsError(problem) from error


class _Earlier(NamedTuple):
    """A routing that is not in force any more."""

    until: dict[int, int]
    """The offset of every partition at which it ended."""
    routing: Routing
    doubt_until: int
    """Alerts after it with a timestamp before this go by it too."""
    next_from: Mapping[int, int]
    """The offset of every partition from which other notifiers went by the next one, before this one knew of it."""


class _Next(NamedTuple):
    """A routing that is being recorded, and the offset of every partition from which it holds then."""

    routing: Routing
    begins: Mapping[int, int]


class RoutingInForce:
    """The routing of all destinations, which may be exchanged.

    Destinations read the alerts independently of each other, and one that is down reads them hours later. So that an
    alert goes by one routing at all of them, and to none twice or to nobody, it goes by the routes that were in force
    when it was written: offsets of Kafka say which those are, for clocks of machines differ. They are recorded in Kafka
    (`recorded.py`), for other notifiers and the next start.
    """

    def __init__(self, routing: Routing) -> None:
        self.routing = routing
        """In force. Its destinations are those of this notifier."""
        self._own = routing
        self._before: list[_Earlier] = []
        """Earlier routings, the oldest first."""
        self._next: list[_Next] = []
        """Those that may be recorded, and are not in force yet."""
        self._forgotten: dict[int, int] = {}
        """By partition the offset before which it is not remembered by what routes alerts went; said once."""
        self._routed: dict[int, int] = {}
        """By partition the offset after the last alert that any destination has routed."""
        self._found: Latest[tuple[int, int, str], Mapping[str, Language | None]] = Latest(MOST_IN_SHORT)
        """Of the latest alerts, by partition, offset and id: every destination asks for them."""
        self._equal: dict[frozenset[tuple[str, Language | None]], Mapping[str, Language | None]] = {}
        """Those that are equal are one: few routes have many alerts."""

    def restore(self, recorded: Sequence[RecordedRoutes]) -> None:
        """Go on by what was recorded, the oldest first, before any alert is read. The file of this notifier may have
        other routes: they are not in force yet."""
        self._forgotten = dict(recorded[0].begins) if recorded else {}
        for each in recorded:
            routing = Routing(self._own.destinations, each.routes)
            if each is not recorded[0]:
                until = dict(each.begins)
                doubt_until = each.at + LEARNED_WITHIN_MS if each.shared else 0
                self._before.append(_Earlier(until, self.routing, doubt_until, until))
            self.routing = routing
        self._forget_oldest()

    @property
    def own(self) -> Routing:
        """Of the file of this notifier; other routes may be in force, which another notifier has recorded."""
        return self._own

    def use(
        self,
        routing: Routing,
        ends: Mapping[int, int],
        *,
        doubt_until: int = 0,
        own: Routing | None = None,
        shared: bool = False,
    ) -> None:
        """Route the alerts that are written from now on by another routing. `ends` are the offsets after the last ones
        that were written before, by partition. What a destination has routed meanwhile stays as it was. Alerts with a
        timestamp before `doubt_until` (milliseconds) go by both routings: other notifiers may not know of it yet. `own`
        is of the file of this notifier, where the routing is not. `shared`: others went by it before this one knew, as
        while this process was suspended. What was routed meanwhile goes by both then, wherever it is not yet read."""
        if routing.routes != self.routing.routes:
            if (begins := self._next_of(routing.routes)) is not None:
                until = dict(begins)  # what was read since went by both
            else:
                partitions = {*ends, *self._routed}
                until = {each: max(ends.get(each, 0), self._routed.get(each, 0)) for each in partitions}
            self._before.append(_Earlier(until, self.routing, doubt_until, dict(ends) if shared else until))
            self._forget_oldest()
        self._next.clear()
        self.routing = routing
        self._own = routing if own is None else own
        self._found.clear()
        self._equal.clear()

    def begin(self, routing: Routing, ends: Mapping[int, int]) -> Mapping[int, int]:
        """Where another routing begins that is about to be recorded, by partition: at the `ends`, as far as nothing
        after them was routed. Until it is known what is recorded, what comes after goes by both: a restart would route
        by what is. The same as before while that is tried again. Of several that were begun any may be recorded."""
        if (begins := self._next_of(routing.routes)) is None:
            furthest = self.furthest()
            begins = {each: max(end, furthest.get(each, 0)) for each, end in ends.items()}
            self._next.append(_Next(routing, begins))
            del self._next[:-_MOST_ROUTINGS]
            self._found.clear()
        return begins

    def _next_of(self, routes: tuple[Route, ...]) -> Mapping[int, int] | None:
        return next((each.begins for each in self._next if each.routing.routes == routes), None)

    @property
    def may_begin(self) -> Collection[tuple[Route, ...]]:
        """The routes of this notifier that may be recorded, and are not in force yet."""
        return [each.routing.routes for each in self._next]

    def not_begun(self, routes: tuple[Route, ...] | None = None) -> None:
        """These routes, or all that were begun, are certainly not recorded, or are in force."""
        self._next = [each for each in self._next if routes is not None and each.routing.routes != routes]
        self._found.clear()

    def furthest(self) -> Mapping[int, int]:
        """By partition the offset up to which alerts are known to have been written."""
        found = dict(self._routed)
        for each in self._before:
            for partition, end in each.until.items():
                found[partition] = max(found.get(partition, 0), end)
        return found

    def alerts_end(self, partition: int, end: int, furthest: Mapping[int, int]) -> None:
        """Kafka says that the alerts of a partition end here; `furthest` was found before it was asked. Where fewer are
        left, the topic was deleted and made anew, and nothing of it was written before the routing in force."""
        if end < furthest.get(partition, 0):
            self._forget([partition])

    def alerts_made_anew(self) -> None:
        """The topic of alerts was deleted and made anew."""
        self._forget({*self._routed, *(partition for each in self._before for partition in each.until)})

    def _forget(self, partitions: Collection[int]) -> None:
        for partition in partitions:
            self._routed.pop(partition, None)
            self._forgotten.pop(partition, None)
            for each in self._before:
                each.until.pop(partition, None)
        self._found.clear()
        structlog.get_logger("connect.notify").warning(
            "alerts_made_anew", partitions=sorted(partitions), consequence="all of them go by the routing in force"
        )

    def known_for(self, partition: int, offset: int, alert: str) -> Mapping[str, Language | None] | None:
        """The destinations of an alert that another destination has asked for; None where none has."""
        self._passed(partition, offset)
        return self._found.get((partition, offset, alert))

    def destinations_for(self, trigger: PageTrigger, partition: int, offset: int) -> Mapping[str, Language | None]:
        """As `Routing.destinations_for`. What goes to a destination that this notifier's file lacks goes by that file
        too: it may be gone everywhere. It still goes to that destination itself: one that comes back reads on
        before its file is in force, and one that is removed until it has stopped. What such a one left out nobody would
        get, for the others may be past it."""
        self._passed(partition, offset)
        self._tell_forgotten(partition, offset)
        place = partition, offset, trigger.id
        if (known := self._found.get(place)) is not None:
            return known
        ended = (n for n, each in enumerate(self._before) if offset < each.until.get(partition, 0))
        number = next(ended, len(self._before))
        earlier, later = self._before[:number], self._before[number:]
        # This notifier may have learned of several changes at once, each of which others went by in its turn.
        others = list(takewhile(lambda each: offset >= each.next_from.get(partition, offset + 1), later))
        routings = [*(each.routing for each in later), self.routing][: len(others) + 1]
        routings += [each.routing for each in reversed(earlier) if trigger.at < each.doubt_until]
        routings += [each.routing for each in self._next if offset >= each.begins.get(partition, 0)]
        found: Mapping[str, Language | None] = {}
        for routing in routings:
            found = {**routing.destinations_for(trigger), **found}
        if not found.keys() <= self._own.destinations.keys():
            found = {**self._own.destinations_for(trigger), **found}
        if len(self._equal) >= _MOST_EQUAL:
            self._equal.clear()
        found = self._equal.setdefault(frozenset(found.items()), found)
        self._found.put(place, found)
        return found

    def _forget_oldest(self) -> None:
        for each in self._before[:-_MOST_ROUTINGS]:
            self._forgotten |= each.until
        del self._before[:-_MOST_ROUTINGS]

    def _tell_forgotten(self, partition: int, offset: int) -> None:
        if offset < self._forgotten.get(partition, 0):
            structlog.get_logger("connect.notify").warning(
                "routes_forgotten",
                partition=partition,
                before=self._forgotten.pop(partition),
                consequence="alerts before that offset go by the oldest routes that are remembered",
            )

    def _passed(self, partition: int, offset: int) -> None:
        self._routed[partition] = max(self._routed.get(partition, 0), offset + 1)
