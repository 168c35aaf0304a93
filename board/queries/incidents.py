"""Incidents: the list with its filters, orders and cursors, and one incident."""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import islice
from typing import Any, Literal, get_args

from sqlalchemy import ColumnElement, Connection, FromClause, Select, and_, func, or_, select, union
from sqlalchemy.engine import Row

from board.queries.incident_state import ClockRow, NextStep, clocks_of, next_of
from board.queries.tenant_scope import EVERY_TENANT, TenantScope, other_incidents
from board.store.chunks import chunks
from board.store.tables import incident, incident_tenant

Sort = Literal["next_deadline", "opened_at", "changed_at"]
Status = Literal["open", "resolved", "merged", "annulled"]
STATUSES: tuple[Status, ...] = get_args(Status)
#: Beside the open incidents, a text is looked for in so many of the latest.
MOST_SEARCHED = 5_000


@dataclass(frozen=True, slots=True)
class IncidentFilter:
    """Which incidents. Empty tuples and None filter nothing. `text` is looked for in id, titles, summary and ticket id,
    without regard to the case of ASCII letters, of open incidents and of the latest `MOST_SEARCHED` by their opening;
    whole ids are found among all. `breached` is whether any clock has a standing breach. `scope` is what the person
    who asks may see; rows then name no other tenant."""

    statuses: tuple[str, ...] = ()
    severities: tuple[str, ...] = ()
    components: tuple[str, ...] = ()
    tenant: str | None = None
    text: str | None = None
    breached: bool | None = None
    backfill: bool | None = None
    scope: TenantScope = EVERY_TENANT


@dataclass(frozen=True)
class IncidentRow:
    """The present state of an incident. Instants are microseconds UTC; `breached` counts standing breaches.

    `changed_at` is the instant of its last change. `tenant_ids` is empty for scope platform.
    """

    incident_id: str
    revision: int
    status: str
    waiting: str | None
    severity: str
    covered: bool
    rule: str
    scope: str
    tenant_ids: tuple[str, ...]
    component: str
    impact: str
    title_en: str
    title_ja: str
    summary: str | None
    ticket_id: str | None
    opened_at: int
    started_at: int
    restored_at: int | None
    ended_at: int | None
    responded_at: int | None
    updated_at: int | None
    next_deadline: int | None
    next_at: int | None
    breached: int
    backfill: bool
    policy: str
    policy_version: str
    changed_at: int
    data: str

    @cached_property
    def state(self) -> Mapping[str, Any]:
        """`data` of the event `incident.state`, in the JSON form of the contract."""
        found: Mapping[str, Any] = json.loads(self.data)
        return found

    @cached_property
    def clocks(self) -> tuple[ClockRow, ...]:
        """Its clocks, by start."""
        return clocks_of(self.state)

    @cached_property
    def next(self) -> NextStep | None:
        """What happens next if nobody acts."""
        return next_of(self.state)


@dataclass(frozen=True, slots=True)
class IncidentKey:
    """Where a page of a list ends: the sort value of its last row (None: it has no next deadline), and its id."""

    value: int | None
    incident_id: str


@dataclass(frozen=True, slots=True)
class IncidentPage:
    """A page of a list; `after` continues it, and is None at its end."""

    incidents: tuple[IncidentRow, ...]
    after: IncidentKey | None


def list_incidents(
    connection: Connection,
    chosen: IncidentFilter,
    sort: Sort = "next_deadline",
    *,
    after: IncidentKey | None = None,
    limit: int = 50,
) -> IncidentPage:
    """The incidents of a filter. `next_deadline`: earliest first, then those without one; the other orders: latest
    first.

    A page begins behind `after`, wherever that row is by now: rows that do not change are neither skipped nor repeated.
    """
    column = incident.c[sort]
    if sort == "next_deadline":
        rows: Sequence[Row[Any]] = _by_deadline(connection, chosen, after, limit + 1)
    else:
        wanted = _select(chosen).order_by(column.desc(), incident.c.incident_id.desc()).limit(limit + 1)
        if after is not None:
            wanted = wanted.where(_behind(column, incident.c.incident_id, after, descending=True))
        rows = connection.execute(wanted).all()
    found = _with_tenants(connection, rows[:limit], chosen.scope)
    last = found[-1] if len(rows) > limit else None
    return IncidentPage(found, None if last is None else IncidentKey(getattr(last, sort), last.incident_id))


def count_by_severity(connection: Connection, chosen: IncidentFilter) -> dict[str, int]:
    """How many incidents of each severity a filter has; severities without any are left out."""
    wanted = (
        select(incident.c.severity, func.count().label("incidents"))
        .where(*_conditions(chosen))
        .group_by(incident.c.severity)
    )
    return {each.severity: each.incidents for each in connection.execute(wanted)}


def get_incidents(
    connection: Connection, incident_ids: Iterable[str], chosen: IncidentFilter | None = None
) -> tuple[IncidentRow, ...]:
    """The incidents of some ids, by id; unknown ones are left out, and those that the filter does not have."""
    ids = sorted(set(incident_ids))
    rows: list[Row[Any]] = []
    for some in chunks(ids):
        wanted = _select(chosen or IncidentFilter()).where(incident.c.incident_id.in_(some))
        rows += connection.execute(wanted.order_by(incident.c.incident_id)).all()
    return _with_tenants(connection, rows, chosen.scope if chosen else EVERY_TENANT)


def get_incident(connection: Connection, incident_id: str, scope: TenantScope = EVERY_TENANT) -> IncidentRow | None:
    """One incident; None when there is none of this id that the person may see."""
    found = get_incidents(connection, [incident_id], IncidentFilter(scope=scope))
    return found[0] if found else None


#: The columns of an incident in the order of `IncidentRow`, which has the tenants at this place besides.
_COLUMNS = tuple(incident.c[each.name] for each in fields(IncidentRow) if each.name != "tenant_ids")
_TENANTS_AT = [each.name for each in fields(IncidentRow)].index("tenant_ids")


def _by_deadline(connection: Connection, chosen: IncidentFilter, after: IncidentKey | None, limit: int) -> list[Any]:
    """Rows of one status each come in the order of an index; merging them is faster than sorting all. The few that have
    a text are sorted."""
    if chosen.text:
        return _sorted_by_deadline(connection, chosen, after, limit)
    deadline, incident_id = incident.c.next_deadline, incident.c.incident_id
    rows: list[Any] = []
    if after is None or after.value is not None:
        parts = []
        for status in chosen.statuses or STATUSES:
            wanted = _select(chosen, status).where(deadline.is_not(None)).order_by(deadline, incident_id).limit(limit)
            if after is not None:
                wanted = wanted.where(_behind(deadline, incident_id, after))
            parts.append(connection.execute(wanted).all())
        rows = list(islice(heapq.merge(*parts, key=lambda row: (row.next_deadline, row.incident_id)), limit))
    if len(rows) < limit:
        parts = []
        for status in chosen.statuses or STATUSES:
            wanted = _select(chosen, status).where(deadline.is_(None)).order_by(incident_id).limit(limit - len(rows))
            if after is not None and after.value is None:
                wanted = wanted.where(incident_id > after.incident_id)
            parts.append(connection.execute(wanted).all())
        rows += islice(heapq.merge(*parts, key=lambda row: row.incident_id), limit - len(rows))
    return rows


def _sorted_by_deadline(
    connection: Connection, chosen: IncidentFilter, after: IncidentKey | None, limit: int
) -> list[Any]:
    deadline, incident_id = incident.c.next_deadline, incident.c.incident_id
    wanted = _select(chosen).order_by(deadline.is_(None), deadline, incident_id).limit(limit)
    if after is not None and after.value is None:
        wanted = wanted.where(deadline.is_(None), incident_id > after.incident_id)
    elif after is not None:
        wanted = wanted.where(or_(deadline.is_(None), _behind(deadline, incident_id, after)))
    return list(connection.execute(wanted).all())


def _select(chosen: IncidentFilter, status: str | None = None) -> Select[Any]:
    return select(*_COLUMNS).where(*_conditions(chosen, status))


def _conditions(chosen: IncidentFilter, status: str | None = None) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if status is not None:
        found.append(incident.c.status == status)
    elif chosen.statuses:
        found.append(incident.c.status.in_(chosen.statuses))
    if chosen.severities:
        found.append(incident.c.severity.in_(chosen.severities))
    if chosen.components:
        found.append(incident.c.component.in_(chosen.components))
    found += chosen.scope.incident_conditions(chosen.tenant)
    if chosen.text:
        found.append(_searched(chosen.text, {status} if status is not None else set(chosen.statuses)))
    if chosen.breached is not None:
        found.append(incident.c.breached > 0 if chosen.breached else incident.c.breached == 0)
    if chosen.backfill is not None:
        found.append(incident.c.backfill.is_(chosen.backfill))
    return found


def _searched(text: str, statuses: set[str]) -> ColumnElement[bool]:
    """No index helps with a part of a text, and a row takes some microseconds: so only so many are looked at. A whole
    incident or ticket id is found whatever its age."""

    def contains(table: FromClause) -> ColumnElement[bool]:
        searched = (table.c[name] for name in ("incident_id", "title_en", "title_ja", "summary", "ticket_id"))
        return or_(*(column.icontains(text, autoescape=True) for column in searched))

    if statuses == {"open"}:
        return contains(incident)
    latest, recent, exact, now_open = (incident.alias(name) for name in ("latest", "recent", "exact", "now_open"))
    newest = select(latest.c.incident_id).order_by(latest.c.opened_at.desc(), latest.c.incident_id.desc())
    found = [
        select(recent.c.incident_id).where(recent.c.incident_id.in_(newest.limit(MOST_SEARCHED)), contains(recent)),
        select(exact.c.incident_id).where(exact.c.incident_id == text),
        select(exact.c.incident_id).where(exact.c.ticket_id == text),
    ]
    if not statuses or "open" in statuses:
        found.append(select(now_open.c.incident_id).where(now_open.c.status == "open", contains(now_open)))
    return incident.c.incident_id.in_(union(*found))


def _behind(
    column: ColumnElement[Any], incident_id: ColumnElement[str], after: IncidentKey, *, descending: bool = False
) -> ColumnElement[bool]:
    """Rows behind `after`. The first condition lets the index be used."""
    value, last = after.value, after.incident_id
    if descending:
        return and_(column <= value, or_(column < value, and_(column == value, incident_id < last)))
    return and_(column >= value, or_(column > value, and_(column == value, incident_id > last)))


def _with_tenants(connection: Connection, rows: Sequence[Row[Any]], scope: TenantScope) -> tuple[IncidentRow, ...]:
    tenants: dict[str, list[str]] = {}
    ids = [row.incident_id for row in rows if row.scope != "platform"]
    for some in chunks(ids):
        wanted = select(incident_tenant).where(incident_tenant.c.incident_id.in_(some))
        for tenant_id, incident_id in connection.execute(wanted.order_by(incident_tenant.c.tenant_id)):
            tenants.setdefault(incident_id, []).append(tenant_id)
    found = []
    for row in rows:
        values = list(row)
        values.insert(_TENANTS_AT, tuple(tenants.get(row.incident_id, ())))
        found.append(IncidentRow(*values))
    return tuple(found) if scope.tenants is None else _narrowed(connection, found, scope)


def _narrowed(connection: Connection, rows: Sequence[IncidentRow], scope: TenantScope) -> tuple[IncidentRow, ...]:
    """The rows as somebody who is limited to tenants sees them."""
    visible = scope.visible(connection, other_incidents(each.state for each in rows))
    return tuple(
        replace(
            each,
            tenant_ids=scope.own(each.tenant_ids),
            data=json.dumps(scope.event_data("incident.state", each.state, visible)),
        )
        for each in rows
    )
