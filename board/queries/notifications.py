"""What the notifier keeps: pages that are open, messages that wait or were given up."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select

from board.store.tables import notification


@dataclass(frozen=True, slots=True)
class NotificationRow:
    """A row of the notifier. `kind` is page (open at the destination), pending, parked (given up) or retry (to be sent
    again). `written_at` is microseconds UTC; `data` is the notifier's own."""

    key: str
    destination: str
    kind: str
    incident_id: str | None
    written_at: int
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class NotificationCount:
    """How many rows a destination has of a kind, and when the oldest was written (microseconds UTC)."""

    destination: str
    kind: str
    count: int
    oldest: int


def notifications_of(connection: Connection, incident_id: str) -> tuple[NotificationRow, ...]:
    """Those about an incident, by destination and kind."""
    wanted = select(notification).where(notification.c.incident_id == incident_id)
    order = (notification.c.destination, notification.c.kind, notification.c.key)
    return tuple(
        NotificationRow(each.key, each.destination, each.kind, each.incident_id, each.written_at, json.loads(each.data))
        for each in connection.execute(wanted.order_by(*order))
    )


def count_notifications(connection: Connection) -> tuple[NotificationCount, ...]:
    """By destination and kind."""
    key = (notification.c.destination, notification.c.kind)
    wanted = select(*key, func.count(), func.min(notification.c.written_at)).group_by(*key).order_by(*key)
    return tuple(NotificationCount(*each) for each in connection.execute(wanted))
