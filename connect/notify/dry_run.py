"""The requests that alerts would lead to if each message were delivered at once. Pure: no broker, no secret."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from connect.notify.destinations.kind import MASKED, Destination, PreparedRequest
from connect.notify.message import Message
from connect.notify.page import Page
from connect.notify.routing.rules import Routing
from connect.notify.triggers import PageTrigger
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

    def apply(self, trigger: PageTrigger) -> Iterator[DryRunDelivery]:
        """The requests that a trigger leads to."""
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
