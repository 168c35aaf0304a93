"""The events about one incident, in the order of event time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, and_, or_, select

from board.queries.tenant_scope import EVERY_TENANT, TenantScope, other_incidents
from board.store.tables import entry

#: Topics whose records are about incidents: a tenant or a maintenance window may have the id of an incident.
_TOPICS = ("incident-events", "incidents", "alerts")


@dataclass(frozen=True, slots=True)
class TimelineRow:
    """One event about an incident, input or output, with its coordinates (evidence). `topic` has no prefix.

    `data` is the event's data in the JSON form of the contract; instants are microseconds UTC.
    """

    topic: str
    partition: int
    offset: int
    type: str
    event_id: str
    source: str
    occurred_at: int
    arrived_at: int
    backfill: bool
    data: Mapping[str, Any]

    @property
    def key(self) -> TimelineKey:
        """Its place in the timeline."""
        return TimelineKey(self.occurred_at, self.arrived_at, self.topic, self.partition, self.offset)


@dataclass(frozen=True, slots=True, order=True)
class TimelineKey:
    """The order of a timeline: event time, then arrival, then coordinates."""

    occurred_at: int
    arrived_at: int
    topic: str
    partition: int
    offset: int


def read_timeline(
    connection: Connection,
    incident_id: str,
    *,
    after: TimelineKey | None = None,
    limit: int | None = None,
    scope: TenantScope = EVERY_TENANT,
) -> tuple[TimelineRow, ...]:
    """The events about an incident in the order of event time, behind `after`, at most `limit`; their data as a person
    of the scope may see them."""
    order = [entry.c[name] for name in ("occurred_at", "arrived_at", "topic", "partition", "offset")]
    wanted = select(entry).where(entry.c.subject == incident_id, entry.c.topic.in_(_TOPICS)).order_by(*order)
    if after is not None:
        values = (after.occurred_at, after.arrived_at, after.topic, after.partition, after.offset)
        wanted = wanted.where(
            or_(
                *(
                    and_(*(column == value for column, value in zip(order[:depth], values, strict=False)), last > bound)
                    for depth, (last, bound) in enumerate(zip(order, values, strict=True))
                )
            )
        )
    if limit is not None:
        wanted = wanted.limit(limit)
    found = tuple(
        TimelineRow(
            each.topic,
            each.partition,
            each.offset,
            each.type,
            each.event_id,
            each.source,
            each.occurred_at,
            each.arrived_at,
            each.backfill,
            json.loads(each.data),
        )
        for each in connection.execute(wanted)
    )
    if scope.tenants is None:
        return found
    visible = scope.visible(connection, other_incidents(each.data for each in found))
    return tuple(replace(each, data=scope.event_data(each.type, each.data, visible)) for each in found)
