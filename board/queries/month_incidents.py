"""The incidents that concern a tenant within a span of time."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, and_, or_, select

from board.queries.statements import NamedIncident
from board.store.tables import incident, incident_tenant

#: Incidents of these kinds have no time of their own.
_ELSEWHERE = ("merged", "annulled")
_COLUMNS = tuple(
    incident.c[name]
    for name in (
        "incident_id",
        "title_en",
        "title_ja",
        "severity",
        "component",
        "started_at",
        "restored_at",
        "impact",
        "policy",
        "policy_version",
    )
)


@dataclass(frozen=True, slots=True)
class MonthIncident:
    """An incident, and what decides whether it counts as downtime."""

    link: NamedIncident
    component: str
    impact: str
    policy: str
    policy_version: str


def incidents_of_month(
    connection: Connection, tenant_id: str, start: int, end: int, *, limit: int
) -> list[MonthIncident]:
    """The incidents of a tenant, or of everybody, of which some time from start to restoration lies in [start, end),
    by their start, at most `limit`. Merged and annulled ones are left out: their time counts elsewhere or nowhere."""
    named = select(incident_tenant.c.incident_id).where(incident_tenant.c.tenant_id == tenant_id)
    query = (
        select(*_COLUMNS)
        .where(
            # Each side has an index; what ended before the month is not read.
            or_(incident.c.status == "open", and_(incident.c.ended_at > start, incident.c.status.not_in(_ELSEWHERE))),
            incident.c.started_at < end,
            or_(incident.c.restored_at.is_(None), incident.c.restored_at > start),
            or_(incident.c.incident_id.in_(named), incident.c.scope == "platform"),
        )
        .order_by(incident.c.started_at, incident.c.incident_id)
        .limit(limit)
    )
    return [
        MonthIncident(NamedIncident.of(row), row.component, row.impact, row.policy, row.policy_version)
        for row in connection.execute(query)
    ]
