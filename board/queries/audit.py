"""The audit log, the latest first."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Engine, and_, exists, or_, select, tuple_

from board.store.audit_tables import audit_event, audit_tenant
from board.store.tables import named_tenant
from streams.topics import TOPIC_OF

#: The types of its events.
TYPES: Final = tuple(event_type for event_type, topic in TOPIC_OF.items() if topic == "audit")
_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which events; None filters nothing. `tenant`: of people who are limited to it, and what was done to it, its
    incidents and windows. From `since` up to, not including, `until`; microseconds."""

    person: str | None = None
    type: str | None = None
    tenant: str | None = None
    since: int | None = None
    until: int | None = None


@dataclass(frozen=True, slots=True)
class AuditKey:
    """The place of an event in the list."""

    occurred_at: int
    event_id: str


@dataclass(frozen=True, slots=True)
class AuditRow:
    """An event as `audit_event` has it; `data` are its other fields. `person` is None where nobody is known."""

    event_id: str
    type: str
    occurred_at: int
    person: str | None
    address: str
    way: str
    action: str | None
    about_kind: str | None
    about: str | None
    outcome: str
    data: Mapping[str, Any]

    @property
    def key(self) -> AuditKey:
        """Its place in the list."""
        return AuditKey(self.occurred_at, self.event_id)


@dataclass(frozen=True, slots=True)
class AuditPage:
    """A page of the list; `after` continues it, and is None at its end."""

    events: tuple[AuditRow, ...]
    after: AuditKey | None


def list_audit(
    connection: Connection, chosen: AuditFilter, *, after: AuditKey | None = None, limit: int = 50
) -> AuditPage:
    """The events of a filter, the latest first, from behind `after` on."""
    place = audit_event.c.occurred_at, audit_event.c.event_id
    wanted = select(*_COLUMNS).where(*_conditions(chosen)).order_by(*(each.desc() for each in place)).limit(limit + 1)
    if after is not None:
        wanted = wanted.where(tuple_(*place) < (after.occurred_at, after.event_id))
    rows = tuple(AuditRow(**{**row, "data": json.loads(row["data"])}) for row in connection.execute(wanted).mappings())
    return AuditPage(rows[:limit], rows[limit - 1].key if len(rows) > limit else None)


def every_audit_event(engine: Engine, chosen: AuditFilter) -> Iterator[tuple[AuditRow, ...]]:
    """All events of a filter, in pieces; no transaction stays open between them."""
    after: AuditKey | None = None
    while True:
        with engine.connect() as connection:
            found = list_audit(connection, chosen, after=after, limit=_AT_ONCE)
        yield found.events
        after = found.after
        if after is None:
            return


_COLUMNS = tuple(column for column in audit_event.c if column.name in AuditRow.__dataclass_fields__)


def _conditions(chosen: AuditFilter) -> list[ColumnElement[bool]]:
    columns = audit_event.c
    found: list[ColumnElement[bool]] = []
    if chosen.person is not None:
        found.append(columns.person == chosen.person)
    if chosen.type is not None:
        found.append(columns.type == chosen.type)
    if chosen.since is not None:
        found.append(columns.occurred_at >= chosen.since)
    if chosen.until is not None:
        found.append(columns.occurred_at < chosen.until)
    if chosen.tenant is not None:
        of_tenant = exists().where(
            audit_tenant.c.tenant_id == chosen.tenant, audit_tenant.c.event_id == columns.event_id
        )
        its = and_(named_tenant.c.kind == columns.about_kind, named_tenant.c.subject == columns.about)
        found.append(or_(of_tenant, exists().where(named_tenant.c.tenant_id == chosen.tenant, its)))
    return found
