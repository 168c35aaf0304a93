"""Gives messages up: each is logged and counted, and its row says why."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from connect.notify.destinations.kind import DestinationKind
from connect.notify.digest import key_of_digest
from connect.notify.kind_change import JudgedPage
from connect.notify.message import Message
from connect.notify.metrics import NotifyMetrics
from connect.notify.page_store_rows import Parked, StateRow, parked_row


class Parking:
    """Of one destination."""

    def __init__(self, destination: str, metrics: NotifyMetrics) -> None:
        self._destination = destination
        self._metrics = metrics
        self._log = structlog.get_logger("connect.notify").bind(destination=destination)

    def row(self, incident: str, message: Message, reason: str, now: int) -> StateRow:
        """The row of a message that is given up; `incident` is that of its page."""
        self._metrics.parked.labels(self._destination).inc()
        self._log.error(
            "message_parked",
            incident=key_of_digest(incident) or incident,
            event_id=message.event["id"],
            type=message.event["type"],
            reason=reason,
            tries=message.tries,
        )
        return parked_row(Parked(self._destination, incident, message, reason, now))

    def of_another_kind(self, judged: Sequence[JudgedPage], kind: DestinationKind, now: int) -> list[StateRow]:
        """The rows of what was made for another kind of destination, and can't be sent."""
        if not judged:
            return []
        parked = [each for page in judged for each in page.parked]
        self._log.warning(
            "destination_kind_changed",
            before=sorted({name for page in judged for name in page.kinds}),
            after=kind.name,
            waiting=sum(len(page.page.pending) for page in judged),
            dropped=sum(page.dropped for page in judged),
            parked=len(parked),
        )
        return [self.row(each.incident, each.message, each.reason, now) for each in parked]
