"""What alerts would become, destination by destination, if each were delivered at once. Pure: no broker, no secret."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from connect.notify.destinations.payloads import MASKED, Prepared, prepare
from connect.notify.page import Message, Page
from connect.notify.routing.rules import Destination, Routing
from connect.notify.triggers import PageTrigger
from streams.sla.instants import parse_rfc3339


class DryRunDelivery(NamedTuple):
    """A request that would be made."""

    destination: Destination
    message: Message
    request: Prepared


class DryRun:
    """Takes the notices of a history in their order; pages are remembered, so that what ends one is shown too."""

    def __init__(self, routing: Routing) -> None:
        self._routing = routing
        self._pages: dict[tuple[str, str], Page] = {}

    def take(self, notice: PageTrigger) -> Iterator[DryRunDelivery]:
        """What a notice leads to."""
        everywhere = dict.fromkeys(self._routing.destinations)
        routed = self._routing.leads_to(notice) if notice.action == "trigger" else everywhere
        for name, destination in self._routing.destinations.items():
            if name not in routed:
                continue
            page = self._pages.get((name, notice.incident), Page(notice.incident))
            page = page.take(notice, destination, 0, busy=False, language=routed[name])
            while page.pending:
                request = prepare(destination, MASKED, notice.incident, page.head, parse_rfc3339(notice.event["time"]))
                yield DryRunDelivery(destination, page.head, request)
                page = page.said()
            self._pages[name, notice.incident] = page
