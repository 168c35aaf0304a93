"""The requests that alerts would lead to if each message were delivered at once. Pure: no broker, no secret."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from connect.notify.destinations.kind import MASKED, Destination, PreparedRequest
from connect.notify.message import Message
from connect.notify.page import Page
from connect.notify.routing.rules import Routing
from connect.notify.triggers import PageTrigger
from streams.serde.cloudevents_headers import INCIDENT_ENDED
from streams.sla.instants import parse_rfc3339
from streams.topics import DEFAULT_PREFIX


class DryRunDelivery(NamedTuple):
    """A request that would be made."""

    destination: Destination
    message: Message
    request: PreparedRequest


class DryRun:
    """Takes the triggers of a history in their order; it remembers open pages, so that it shows their ends too."""

    def __init__(self, routing: Routing, deployment: str = DEFAULT_PREFIX) -> None:
        self._deployment = deployment
        self._routing = routing
        self._pages: dict[tuple[str, str], Page] = {}
        self._breached: dict[str, tuple[str, frozenset[str]]] = {}
        """When each incident ended, by its last closing, and the clocks that the closing says are breached."""

    def apply(self, trigger: PageTrigger) -> Iterator[DryRunDelivery]:
        """The requests that a trigger leads to. A breach that follows the closing which lists it is one that was found
        only after its incident had ended; the services learn it from a header, which the JSON form does not have."""
        if trigger.action == "close":
            breached = (each for each in trigger.data["clocks"] if each["verdict"] == "breached")
            clocks = frozenset(f"{each['metric']}/{each['instance']}" for each in breached)
            self._breached[trigger.incident] = str(trigger.data["closed_at"]), clocks
        elif trigger.action == "trigger" and trigger.incident in self._breached:
            ended, clocks = self._breached[trigger.incident]
            if trigger.clock in clocks:
                trigger = replace(trigger, event={**trigger.event, INCIDENT_ENDED: ended})
        everywhere = dict.fromkeys(self._routing.destinations)
        routed = self._routing.destinations_for(trigger) if trigger.action == "trigger" else everywhere
        at = parse_rfc3339(trigger.event["time"])
        for name, destination in self._routing.destinations.items():
            if name not in routed:
                continue
            page = self._pages.get((name, trigger.incident), Page(trigger.incident))
            page = page.apply(trigger, destination, 0, busy=False, language=routed[name], deployment=self._deployment)
            while page.pending:
                request = destination.kind.prepare(destination, MASKED, trigger.incident, page.head, at)
                yield DryRunDelivery(destination, page.head, request)
                page = page.delivered()
            if page.over:
                self._pages.pop((name, trigger.incident), None)
            else:
                self._pages[name, trigger.incident] = page
