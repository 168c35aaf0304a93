"""Figures over all tenants: what is open, credits by month, the worst lapses, tenants below their guarantee."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, case, func, select

from board.store.tables import credit, incident, tenant_month, verdict
from streams.sla.instants import Month, month_of


@dataclass(frozen=True, slots=True)
class OpenRow:
    """Open incidents of one severity: how many, how many of them have a breached clock, and the next deadline
    (microseconds UTC; None when no clock runs)."""

    severity: str
    open: int
    breached: int
    next_deadline: int | None


@dataclass(frozen=True, slots=True)
class CreditsRow:
    """Credits of one month in one currency, minor units: those of final and adjusted statements, those of provisional
    ones, what was issued to billing; and how many tenants get a credit."""

    month: str
    currency: str
    settled: int
    provisional: int
    issued: int
    tenants: int


@dataclass(frozen=True, slots=True)
class LapseRow:
    """An incident with breached clocks. `response_late` is by how much its first response was late, microseconds; None
    when that clock was not breached or has no response yet. `by_metric` counts the breached clocks."""

    incident_id: str
    title_en: str
    title_ja: str
    severity: str
    status: str
    component: str
    opened_at: int
    breaches: int
    by_metric: dict[str, int]
    response_late: int | None


def latest_month(connection: Connection) -> str | None:
    """The latest month that has a verdict or a statement."""
    found = [connection.execute(select(func.max(table.c.month))).scalar() for table in (verdict, tenant_month)]
    return max((month for month in found if month is not None), default=None)


def recent_months(connection: Connection, now: int, count: int) -> list[Month]:
    """So many UTC months in order, up to the present one, or to the latest of which anything is known."""
    last = month_of(now, "UTC")
    latest = latest_month(connection)
    if latest is not None and latest < last:
        last = Month(latest)
    number = int(last[:4]) * 12 + int(last[5:]) - 1
    return [Month(f"{each // 12:04d}-{each % 12 + 1:02d}") for each in range(number - count + 1, number + 1)]


def known_months(connection: Connection) -> list[Month]:
    """Every month that has a verdict or a statement, the latest first."""
    found: set[str] = set()
    for table in (verdict, tenant_month):
        query = select(func.min(table.c.month))
        month = connection.execute(query).scalar()
        while month is not None:  # from one to the next in the index: DISTINCT reads all of it
            found.add(month)
            month = connection.execute(query.where(table.c.month > month)).scalar()
    return [Month(month) for month in sorted(found, reverse=True)]


def open_by_severity(connection: Connection) -> list[OpenRow]:
    """Open incidents by severity, loaded history included: they are open."""
    query = (
        select(
            incident.c.severity,
            func.count().label("open"),
            func.sum(case((incident.c.breached > 0, 1), else_=0)).label("breached"),
            func.min(incident.c.next_deadline).label("next_deadline"),
        )
        .where(incident.c.status == "open")
        .group_by(incident.c.severity)
        .order_by(incident.c.severity)
    )
    return [OpenRow(row.severity, row.open, int(row.breached), row.next_deadline) for row in connection.execute(query)]


def credits_by_month(connection: Connection, months: Sequence[str]) -> list[CreditsRow]:
    """Credits of these months by currency, in order of month; months without any are left out."""
    provisional = tenant_month.c.status == "provisional"
    amount = tenant_month.c.credit_minor
    query = (
        select(
            tenant_month.c.month,
            tenant_month.c.currency,
            func.sum(case((provisional, 0), else_=amount)).label("settled"),
            func.sum(case((provisional, amount), else_=0)).label("provisional"),
            func.count().label("tenants"),
        )
        .where(tenant_month.c.month.in_(months), amount > 0)
        .group_by(tenant_month.c.month, tenant_month.c.currency)
    )
    sums = {(row.month, row.currency): row for row in connection.execute(query)}
    paid = (
        select(credit.c.month, credit.c.currency, func.sum(credit.c.amount_minor).label("issued"))
        .where(credit.c.month.in_(months))
        .group_by(credit.c.month, credit.c.currency)
    )
    issued = {(row.month, row.currency): int(row.issued) for row in connection.execute(paid)}
    rows = []
    for key in sorted(sums.keys() | issued.keys()):
        total = sums.get(key)
        settled, credited, number = (0, 0, 0) if total is None else (total.settled, total.provisional, total.tenants)
        rows.append(CreditsRow(*key, int(settled), int(credited), issued.get(key, 0), number))
    return rows


def worst_lapses(
    connection: Connection, months: Sequence[str], *, backfill: bool = False, limit: int = 10
) -> list[LapseRow]:
    """Incidents with clocks that were breached in these UTC months: the most severe first, then those with the most
    breaches."""
    wanted = [verdict.c.month.in_(months), verdict.c.verdict == "breached"]
    if not backfill:
        wanted.append(verdict.c.backfill.is_(False))
    number = func.count().label("number")
    worst = (
        select(verdict.c.incident_id, number)
        .where(*wanted)
        .group_by(verdict.c.incident_id)
        .order_by(func.min(verdict.c.severity), number.desc(), verdict.c.incident_id)
        .limit(limit)
    )
    order = [row.incident_id for row in connection.execute(worst)]
    clocks = select(verdict.c.incident_id, verdict.c.metric, verdict.c.instance, verdict.c.deadline).where(
        *wanted, verdict.c.incident_id.in_(order)
    )
    counts: dict[str, dict[str, int]] = {name: {} for name in order}
    deadlines: dict[str, int] = {}
    for clock in connection.execute(clocks):
        by_metric = counts[clock.incident_id]
        by_metric[clock.metric] = by_metric.get(clock.metric, 0) + 1
        if clock.metric == "response":
            deadlines[clock.incident_id] = max(clock.deadline, deadlines.get(clock.incident_id, 0))
    incidents = connection.execute(select(incident).where(incident.c.incident_id.in_(order)))
    found = {row.incident_id: row for row in incidents}
    rows = []
    for name in order:
        if name not in found:
            continue
        row = found[name]
        late = None
        if name in deadlines and row.responded_at is not None and row.responded_at > deadlines[name]:
            late = row.responded_at - deadlines[name]
        rows.append(
            LapseRow(
                incident_id=name,
                title_en=row.title_en,
                title_ja=row.title_ja,
                severity=row.severity,
                status=row.status,
                component=row.component,
                opened_at=row.opened_at,
                breaches=sum(counts[name].values()),
                by_metric=counts[name],
                response_late=late,
            )
        )
    return rows
