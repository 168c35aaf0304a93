"""Breaches that stand: clocks of incidents that missed their deadline, by month and tenant."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, and_, or_, select

from board.store.tables import incident_tenant, verdict


@dataclass(frozen=True, slots=True)
class BreachedClock:
    """A clock whose breach stands. `at` is when it was detected; instants are microseconds UTC."""

    incident_id: str
    metric: str
    instance: int
    deadline: int
    at: int
    severity: str
    component: str
    scope: str
    backfill: bool

    @property
    def key(self) -> BreachKey:
        """Its place in the list."""
        return BreachKey(self.deadline, self.incident_id, self.metric, self.instance)


@dataclass(frozen=True, slots=True, order=True)
class BreachKey:
    """The order of breaches: by deadline."""

    deadline: int
    incident_id: str
    metric: str
    instance: int


def breaches_of(
    connection: Connection, tenant_id: str, month: str, *, after: BreachKey | None = None, limit: int = 50
) -> tuple[BreachedClock, ...]:
    """Standing breaches of incidents that concern a tenant by name or everybody, of one UTC month, by deadline."""
    concerned = select(incident_tenant.c.incident_id).where(incident_tenant.c.tenant_id == tenant_id)
    order = (verdict.c.deadline, verdict.c.incident_id, verdict.c.metric, verdict.c.instance)
    columns = (*order, *(verdict.c[name] for name in ("at", "severity", "component", "scope", "backfill")))
    wanted = select(*columns).where(
        verdict.c.month == month,
        verdict.c.verdict == "breached",
        or_(verdict.c.scope == "platform", verdict.c.incident_id.in_(concerned)),
    )
    if after is not None:
        deadline, incident_id, metric, instance = order
        same_metric = and_(metric == after.metric, instance > after.instance)
        same_incident = and_(incident_id == after.incident_id, or_(metric > after.metric, same_metric))
        same_deadline = and_(deadline == after.deadline, or_(incident_id > after.incident_id, same_incident))
        wanted = wanted.where(or_(deadline > after.deadline, same_deadline))
    rows = connection.execute(wanted.order_by(*order).limit(limit))
    return tuple(BreachedClock(**row._mapping) for row in rows)
