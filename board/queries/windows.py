"""Maintenance windows of every tenant that a person may see, by what they are now."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, or_, select

from board.queries.contracts import rejected_fact
from board.queries.tenant_scope import EVERY_TENANT, TenantScope
from board.store.tables import contract, maintenance, named_tenant, tenant_month

Standing = Literal["current", "upcoming", "past", "cancelled"]
#: In the order in which the page has them.
STANDINGS: tuple[Standing, ...] = ("current", "upcoming", "past", "cancelled")
#: The latest windows that a page shows.
MOST_WINDOWS = 500
#: Tenants that a form lists.
MOST_TENANTS = 500


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


def list_windows(connection: Connection, scope: TenantScope = EVERY_TENANT) -> list[WindowRow]:
    """The windows whose last fact is the latest, at most MOST_WINDOWS; by their start, the latest first."""
    query = select(maintenance).where(~rejected_fact(maintenance))
    if scope.tenants is not None:
        named = select(named_tenant.c.subject).where(
            named_tenant.c.kind == "maintenance", named_tenant.c.tenant_id.in_(sorted(scope.tenants))
        )
        everybody = select(maintenance.c.maintenance_id).where(maintenance.c.scope == "platform")
        query = query.where(or_(maintenance.c.maintenance_id.in_(named), maintenance.c.maintenance_id.in_(everybody)))
    return _latest(connection.execute(query), scope)


def get_window(connection: Connection, maintenance_id: str, scope: TenantScope = EVERY_TENANT) -> WindowRow | None:
    """One window; None where there is none that the person may see."""
    query = select(maintenance).where(~rejected_fact(maintenance), maintenance.c.maintenance_id == maintenance_id)
    found = _latest(connection.execute(query), scope)
    return found[0] if found and (found[0].scope != "tenants" or found[0].tenant_ids) else None


def known_tenants(connection: Connection, scope: TenantScope = EVERY_TENANT) -> tuple[str, ...] | None:
    """The ids of the tenants that a form may list, in order; None where they are more than MOST_TENANTS."""
    names = select(contract.c.tenant_id).union(select(tenant_month.c.tenant_id)).subquery()
    query = select(names.c.tenant_id).where(*scope.tenant_condition(names.c.tenant_id)).order_by(names.c.tenant_id)
    found = tuple(connection.execute(query.limit(MOST_TENANTS + 1)).scalars())
    return None if len(found) > MOST_TENANTS else found


def _latest(rows: Iterable[Any], scope: TenantScope) -> list[WindowRow]:
    facts: dict[str, list[Any]] = {}
    for row in sorted(rows, key=lambda each: (each.occurred_at, each.event_id, each.source)):
        facts.setdefault(row.maintenance_id, []).append(row)
    latest = sorted(facts.items(), key=lambda each: each[1][-1].occurred_at)[-MOST_WINDOWS:]
    found = [_row(name, rows, scope) for name, rows in latest]
    return sorted(found, key=lambda row: (-(row.start or 0), row.maintenance_id))


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
