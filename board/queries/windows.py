"""Maintenance windows of every tenant that a person may see, by what they are now."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from sqlalchemy import ColumnElement, Connection, FromClause, Table, and_, exists, or_, select, tuple_

from board.queries.contracts import rejected_fact
from board.queries.tenant_scope import EVERY_TENANT, TenantScope
from board.store.engine import is_sqlite
from board.store.tables import contract, maintenance, named_tenant, tenant_month

Standing = Literal["current", "upcoming", "past", "cancelled"]
#: In the order in which the page has them.
STANDINGS: tuple[Standing, ...] = ("current", "upcoming", "past", "cancelled")
#: Tenants that a form lists.
MOST_TENANTS = 500


class WindowKey(NamedTuple):
    """The place of a window in a list: `at` is what the list is ordered by, in microseconds."""

    at: int
    maintenance_id: str


@dataclass(frozen=True, slots=True)
class WindowRow:
    """A maintenance window as its last fact says; of a cancelled one, its last times. `tenant_ids` are those that the
    person may see, and `others` says that there are more; of the whole platform there are none. Instants are
    microseconds UTC."""

    maintenance_id: str
    cancelled: bool
    scope: str | None
    tenant_ids: tuple[str, ...]
    others: bool
    components: tuple[str, ...]
    start: int | None
    end: int | None
    announced_at: int | None

    def standing(self, now: int) -> Standing:
        """What it is at an instant."""
        if self.cancelled or self.start is None or self.end is None:
            return "cancelled"
        return "upcoming" if now < self.start else "current" if now < self.end else "past"


class WindowPage(NamedTuple):
    """A page of a list; `after` continues it, and is None at its end. Those that concern the person no more are left
    out."""

    windows: tuple[WindowRow, ...]
    after: WindowKey | None


def list_windows(
    connection: Connection,
    standing: Standing,
    now: int,
    scope: TenantScope = EVERY_TENANT,
    *,
    after: WindowKey | None = None,
    limit: int = 100,
) -> WindowPage:
    """The windows that are so at `now`, from behind `after` on: upcoming ones the soonest first, others the latest;
    cancelled ones by when they were cancelled."""
    table = maintenance
    at, name = table.c.occurred_at if standing == "cancelled" else table.c.start, table.c.maintenance_id
    query = select(at.label("at"), name).where(_is_last(connection, table), ~rejected_fact(table))
    query = query.where(*_STANDS[standing](now), *_concerning(scope))
    soonest = standing == "upcoming"
    if after is not None:
        behind = at > after.at if soonest else at < after.at
        query = query.where(or_(behind, and_(at == after.at, name > after.maintenance_id)))
    rows = connection.execute(query.order_by(at if soonest else at.desc(), name).limit(limit + 1)).all()
    following = WindowKey(*rows[limit - 1]) if len(rows) > limit else None
    return WindowPage(_windows(connection, [row.maintenance_id for row in rows[:limit]], scope), following)


def get_window(connection: Connection, maintenance_id: str, scope: TenantScope = EVERY_TENANT) -> WindowRow | None:
    """One window; None where there is none that the person may see."""
    return next(iter(_windows(connection, [maintenance_id], scope)), None)


def known_tenants(connection: Connection, scope: TenantScope = EVERY_TENANT) -> tuple[str, ...] | None:
    """The ids of the tenants that a form may list, in order; None where they are more than MOST_TENANTS."""
    names = select(contract.c.tenant_id).union(select(tenant_month.c.tenant_id)).subquery()
    query = select(names.c.tenant_id).where(*scope.tenant_condition(names.c.tenant_id)).order_by(names.c.tenant_id)
    found = tuple(connection.execute(query.limit(MOST_TENANTS + 1)).scalars())
    return None if len(found) > MOST_TENANTS else found


#: Whether the last fact of a window makes it so at an instant.
_STANDS: Mapping[Standing, Callable[[int], tuple[ColumnElement[bool], ...]]] = {
    "current": lambda now: (maintenance.c.start <= now, maintenance.c.end > now),
    "upcoming": lambda now: (maintenance.c.start > now,),
    "past": lambda now: (maintenance.c.end <= now,),
    "cancelled": lambda now: (maintenance.c.start.is_(None),),
}


def _is_last(connection: Connection, table: Table) -> ColumnElement[bool]:
    """Whether no later fact of the same window counts: by time, then id (R2), which are compared by code points."""
    later = table.alias()
    binary = "BINARY" if is_sqlite(connection) else "C"

    def order(of: FromClause) -> tuple[ColumnElement[Any], ...]:
        return of.c.occurred_at, of.c.event_id.collate(binary), of.c.source.collate(binary)

    follows = tuple_(*order(later)) > tuple_(*order(table))
    return ~exists().where(later.c.maintenance_id == table.c.maintenance_id, follows, ~rejected_fact(later))


def _concerning(scope: TenantScope) -> list[ColumnElement[bool]]:
    """That a window ever concerned a tenant that the person may see."""
    if scope.tenants is None:
        return []
    named = select(named_tenant.c.subject).where(
        named_tenant.c.kind == "maintenance", named_tenant.c.tenant_id.in_(sorted(scope.tenants))
    )
    everybody = select(maintenance.c.maintenance_id).where(maintenance.c.scope == "platform")
    return [or_(maintenance.c.maintenance_id.in_(named), maintenance.c.maintenance_id.in_(everybody))]


def _windows(connection: Connection, names: Sequence[str], scope: TenantScope) -> tuple[WindowRow, ...]:
    """The windows of these ids that concern the person now, in the same order."""
    query = select(maintenance).where(~rejected_fact(maintenance), maintenance.c.maintenance_id.in_(names))
    facts: dict[str, list[Any]] = {}
    for row in sorted(connection.execute(query), key=lambda each: (each.occurred_at, each.event_id, each.source)):
        facts.setdefault(row.maintenance_id, []).append(row)
    found = [_row(name, facts[name], scope) for name in names if name in facts]
    return tuple(row for row in found if row.scope != "tenants" or row.tenant_ids)


def _row(name: str, rows: list[Any], scope: TenantScope) -> WindowRow:
    last = rows[-1]
    shown = next((row for row in reversed(rows) if row.start is not None), last)
    data = json.loads(shown.data)
    named = data.get("tenant_ids") or ()
    own = scope.own(named)
    return WindowRow(
        name,
        cancelled=last.start is None,
        scope=shown.scope,
        tenant_ids=own,
        others=len(own) < len(named),
        components=tuple(data.get("components") or ()),
        start=shown.start,
        end=shown.end,
        announced_at=shown.announced_at,
    )
