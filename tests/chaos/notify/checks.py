"""What must hold of a run: every alert reached somebody, every page that has ended is closed, no other is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from connect.notify.message import DIGEST
from connect.notify.page import Page
from connect.notify.route_recording import RouteRecording
from connect.notify.routing.loaded import LEARNED_WITHIN_MS, RoutingInForce
from connect.notify.routing.recorded import PARTITION, RecordedRoutes, is_recorded

from . import routes
from .broker import BASE_MS
from .incidents import ROWS, Alert, Incident
from .partition_log import Record
from .receivers import Receipt, Receiver

if TYPE_CHECKING:
    from .notifier import PageKey
    from .world import World

#: A message that a notifier sends that had the partition no more can't be fenced (docs/notifications.md, Limits).
SENT_LATE = "sent by a former owner"
PARKED = "parked"
#: In between others went by the routes before, and who starts later goes by the new ones alone (ADR 34, Consequences).
ROUTES_LATE = "its routes were recorded late"
_SKEW_MS = 1_000
"""Clocks of machines differ by less."""


class Problem(NamedTuple):
    """`known`: the documented behaviour that it is, if it is one."""

    what: str
    when: str = ""
    where: str = ""
    detail: str = ""
    known: str = ""

    def __str__(self) -> str:
        return " ".join(filter(None, (self.what, self.when, self.where, self.detail, self.known and f"({self.known})")))


class _Service(NamedTuple):
    """What a destination shows by what it has taken."""

    open: dict[str, Receipt]
    """The last message that opened or updated a page, by dedup key."""
    ended: dict[str, Receipt]
    """What ended the others."""
    taken: frozenset[str]
    """Ids of alerts."""


class Checks:
    """Of one world."""

    def __init__(self, world: World) -> None:
        self.problems: list[Problem] = []
        self._world = world

    def add(self, what: str, when: str = "", where: str = "", detail: str = "", known: str = "") -> None:
        self.problems.append(Problem(what, when, where, detail, known))

    def look(self, when: str) -> None:
        """At everything that must hold while no fault is under way."""
        for name, receiver in self._world.receivers.items():
            shown = _shown(receiver)
            for incident in self._world.histories.incidents.values():
                self._look_at_incident(when, name, shown, incident)
            if self._world.digests and when == "after all closings":
                for key, each in shown.open.items():
                    if key.startswith(f"sla/{DIGEST}/"):
                        self.add("left open", when, f"{name} {key}", str(each), "" if each.by_owner else SENT_LATE)
        if not self._world.digests:
            self._look_at_webhook(when)
            self._look_for_what_nobody_got(when)
        self._look_at_parked(when)

    def _look_at_incident(self, when: str, name: str, shown: _Service, incident: Incident) -> None:
        always = all(name in routes.destinations_of(each, incident.severity) for each in self._world.routes_used)
        known = incident.lost or (PARKED if self._was_parked(name, incident) else "")
        for clock in sorted(incident.clocks):
            key, last = f"sla/{incident.name}/{clock}", incident.open.get(clock)
            where, posts = f"{name} {key}", name == routes.POSTS
            if last is None:
                if (found := shown.open.get(key)) is not None and not posts:
                    self.add("left open", when, where, str(found), known or ("" if found.by_owner else SENT_LATE))
            elif not always or self._world.digests or incident.superseded(clock):
                continue
            elif last not in shown.taken:
                self.add("never sent", when, where, last, known)
            elif key not in shown.open and not posts:
                end = shown.ended.get(key)
                late = end is not None and not end.by_owner
                self.add("ended too early", when, where, str(end), known or (SENT_LATE if late else ""))

    def _look_at_webhook(self, when: str) -> None:
        """It gets every alert."""
        taken, parked = _taken(self._world.receivers[routes.EVENTS]), self._world.operator.parked()
        for incident, alert in self._alerts():
            led = (routes.EVENTS in routes.destinations_of(each, incident.severity) for each in self._world.routes_used)
            key = routes.EVENTS, alert.id
            if all(led) and alert.id not in taken and key not in parked and key not in self._world.operator.handled:
                self.add("never sent", when, routes.EVENTS, alert.id, incident.lost)

    def _look_for_what_nobody_got(self, when: str) -> None:
        """By whatever file an alert goes. What waits for a destination that was removed waits on."""
        taken = {id_ for each in self._world.receivers.values() for id_ in _taken(each)}
        late = self._routes_late()
        for incident in self._world.histories.incidents.values():
            led = {name for each in self._world.routes_used
                   for name in routes.destinations_of(each, incident.severity)}  # fmt: skip
            if incident.lost or led - self._world.destinations:
                continue
            for clock, last in incident.open.items():
                parked = any(self._was_parked(name, incident) for name in routes.ALL)
                if last not in taken and not incident.superseded(clock) and not parked:
                    at = next(BASE_MS + each.at * 1_000 for each in incident.alerts if each.id == last)
                    known = ROUTES_LATE if any(made <= at <= landed for made, landed in late) else ""
                    self.add("sent to nobody", when, f"{incident.name} {clock}", last, known)

    def _routes_late(self) -> Sequence[tuple[int, int]]:
        """When rows of routes were made and landed, of those that count and took longer than others may not know."""
        landed = {record.offset: record.timestamp + _SKEW_MS for record in self._route_rows()}
        made = ((found.at - _SKEW_MS, landed[offset]) for offset, found in self._recorded())
        return [each for each in made if each[1] - each[0] > LEARNED_WITHIN_MS]

    def _look_at_parked(self, when: str) -> None:
        """A message stays parked until somebody handles it, or it is taken after all."""
        operator = self._world.operator
        now = operator.parked()
        for (name, id_), at in operator.ever_parked().items():
            if (name, id_) not in now and (name, id_) not in operator.handled:
                receipts = self._world.receivers[name].receipts
                if not any(each.message.id == id_ and each.at >= at for each in receipts):
                    self.add("parked message lost", when, name, id_)

    def look_at_routes(self, when: str) -> None:
        """All go by those that a start would read. No file of before is in force in place of a newer one: of a notifier
        that runs, or one that has been in force."""
        if not (recorded := [each for _, each in self._recorded()]):
            return
        last = recorded[-1]
        where = f"{last.digest} of {last.at}"
        for each in recorded:
            if each.routes != last.routes and each.at > last.at + _SKEW_MS:
                self.add("older routes in force", when, where, f"{each.digest} of {each.at} were in force")
        for notifier in self._world.running:
            if notifier.in_force != last.routes:
                self.add("other routes than those recorded", when, where, str(notifier.number))
            if notifier.wished != last.routes and notifier.wished_ms > last.at + _SKEW_MS:
                self.add("newer file not in force", when, where, f"{notifier.number} of {notifier.wished_ms}")

    def _route_rows(self) -> Sequence[Record]:
        log = self._world.broker.logs_of(ROWS).get(PARTITION)
        return [each for each in (() if log is None else log.records) if is_recorded(each.key)]

    def _recorded(self) -> Sequence[tuple[int, RecordedRoutes]]:
        """As a start reads them, each with its offset."""
        recording = RouteRecording(lambda: (), RoutingInForce(routes.loaded("one", digests=False).routing), None)
        offsets = dict[bytes, int]()
        for each in self._route_rows():
            if (found := recording.read(each.key or b"", each.value)) is not None:
                offsets[found.key] = each.offset
        return [(offsets[each.key], each) for each in recording.recorded]

    def look_at_restart(
        self, before: Mapping[PageKey, Page], after: Mapping[PageKey, Page], sent: Mapping[str, int]
    ) -> None:
        """`sent`: how many messages each receiver had taken before."""
        when = "after the restart"
        for name, receiver in self._world.receivers.items():
            for each in receiver.receipts[sent[name] :]:
                self.add("sent again", when, name, str(each))
        for key in sorted({*before, *after}):
            stored, found = _stored(before.get(key)), _stored(after.get(key))
            if stored != found and key[0] in self._world.destinations:
                self.add(
                    "rows differ from memory", when, str(key), f"{stored} before, {found} after; {self._late(key)}"
                )

    def look_for_pages_left(self, pages: Mapping[PageKey, Page]) -> None:
        """All incidents are closed."""
        for key, page in pages.items():
            incident = self._world.histories.incident_of(key[2])
            if key[0] in self._world.destinations and not self._world.operator.handled:
                known = "" if incident is None else incident.lost
                self.add("page left in memory", "after all closings", str(key), str(_stored(page)), known)

    def _late(self, key: PageKey) -> str:
        """Which rows of a page were written late."""
        destination, partition, incident = key
        log = self._world.broker.logs_of(ROWS).get(partition)
        late = [each for each in (log.history if log else ()) if each.late and (each.record.key or b"").startswith(
                destination.encode()) and incident.encode() in (each.record.key or b"")]  # fmt: skip
        return (
            ", ".join(f"late row {each.record.offset} of {each.by} at {each.at:.2f}" for each in late) or "no late row"
        )

    def _was_parked(self, destination: str, incident: Incident) -> bool:
        operator = self._world.operator
        return any(
            name == destination and self._world.histories.incident_of(id_) is incident
            for name, id_ in (*operator.parked(), *operator.handled)
        )

    def _alerts(self) -> Iterator[tuple[Incident, Alert]]:
        for incident in self._world.histories.incidents.values():
            for alert in incident.alerts:
                yield incident, alert


def _taken(receiver: Receiver) -> frozenset[str]:
    return frozenset(each.message.event["id"] for each in receiver.receipts)


def _shown(receiver: Receiver) -> _Service:
    found = _Service({}, {}, _taken(receiver))
    for each in receiver.receipts:
        message = each.message
        key = message.dedup_key(each.incident)
        if message.action == "trigger":
            found.open[key] = each
            continue
        if message.clock:
            keys = [key]
        else:  # a closing ends the pages of its incident, but not those of a reopening that it came behind
            keys = [key for key, page in found.open.items() if key.startswith(f"sla/{each.incident}/")
                    and page.message.record_at <= message.record_at]  # fmt: skip
        for key in keys:
            found.open.pop(key, None)
            found.ended[key] = each
    return found


def _stored(page: Page | None) -> object:
    """What rows hold of a page; nothing where there is none."""
    return None if page is None else (dict(page.open), dict(page.keys), dict(page.folded), page.breached)
