"""Reports over all tenants and of one, as `sla report` gives them, from the read model."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, and_, case, func, select, tuple_

from board.queries.attainment import attainment_by_severity, shares_by_severity
from board.queries.tenant_clocks import breaches_in, clocks_of, shares_in
from board.reports.report import BreachRow, Report, StatementRow
from board.store.chunks import chunks
from board.store.tables import credit, entry, statement, tenant_month, verdict
from streams.sla.instants import Month, parse_rfc3339

_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class CreditTotal:
    """Credits of the latest statements in one currency, and what of them was issued; minor units."""

    currency: str
    credit_minor: int
    issued_minor: int


@dataclass(frozen=True, slots=True)
class FleetTotals:
    """Tenants' months with a statement, those that missed the guarantee, and credits by currency."""

    statements: int
    missed: int
    credits: tuple[CreditTotal, ...]


def fleet_report(connection: Connection, months: Sequence[Month], *, lowest: int | None = None) -> Report:
    """Statements, breaches and shares of these months; with `lowest`, of the statements so many with the lowest
    availability, these first. `as_of` is when the latest record arrived that was read."""
    as_of = connection.execute(select(func.max(entry.c.arrived_at))).scalar()
    return Report(
        _statements(connection, months, lowest),
        _breaches(connection, months),
        as_of or 0,
        attainment_by_severity(connection, months),
    )


def tenant_report(connection: Connection, tenant: str, months: Sequence[Month]) -> Report:
    """The same of one tenant, with platform-wide incidents. All months are those of its contract's zone, which its
    statements name."""
    as_of = connection.execute(select(func.max(entry.c.arrived_at))).scalar()
    clocks = clocks_of(connection, tenant, months, _zone_of(connection, tenant))
    return Report(
        _statements(connection, months, None, tenant),
        breaches_in(clocks),
        as_of or 0,
        shares_by_severity(shares_in(clocks), months, backfill=False),
    )


def stated_months(connection: Connection, tenant: str) -> list[str]:
    """The months of a tenant that have a statement."""
    return list(connection.execute(select(tenant_month.c.month).where(tenant_month.c.tenant_id == tenant)).scalars())


def totals_of(report: Report) -> FleetTotals:
    """The totals of a report that has all statements."""
    currencies = sorted({row.currency for row in report.statements})
    credits = tuple(
        CreditTotal(
            currency,
            sum(row.credit_minor for row in report.statements if row.currency == currency),
            sum(row.issued_minor for row in report.statements if row.currency == currency),
        )
        for currency in currencies
    )
    return FleetTotals(len(report.statements), sum(not row.guarantee_met for row in report.statements), credits)


def fleet_totals(connection: Connection, months: Sequence[Month]) -> FleetTotals:
    """The totals of the statements that `fleet_report` has without `lowest`."""
    of_months = tenant_month.c.month.in_(months)
    missed = func.sum(case((tenant_month.c.guarantee_met, 0), else_=1))
    query = (
        select(
            tenant_month.c.currency,
            func.count().label("statements"),
            missed.label("missed"),
            func.sum(tenant_month.c.credit_minor).label("credit"),
        )
        .where(of_months)
        .group_by(tenant_month.c.currency)
    )
    rows = {row.currency: row for row in connection.execute(query)}
    paid = (
        select(credit.c.currency, func.sum(credit.c.amount_minor).label("issued"))
        .where(credit.c.month.in_(months))
        .group_by(credit.c.currency)
    )
    issued = {row.currency: int(row.issued) for row in connection.execute(paid)}
    credits = tuple(
        CreditTotal(currency, int(rows[currency].credit) if currency in rows else 0, issued.get(currency, 0))
        for currency in sorted(rows.keys() | issued.keys())
    )
    return FleetTotals(
        sum(row.statements for row in rows.values()), sum(int(row.missed) for row in rows.values()), credits
    )


def _zone_of(connection: Connection, tenant: str) -> str:
    """The zone of a tenant's months: that of its earliest contract fact (R24)."""
    query = select(statement.c.data).where(statement.c.tenant_id == tenant).order_by(statement.c.month.desc()).limit(1)
    data = connection.execute(query).scalar()
    return "UTC" if data is None else str(json.loads(data)["period"]["time_zone"])


def _statements(
    connection: Connection, months: Sequence[Month], lowest: int | None, tenant: str | None = None
) -> list[StatementRow]:
    same = and_(
        statement.c.tenant_id == tenant_month.c.tenant_id,
        statement.c.month == tenant_month.c.month,
        statement.c.revision == tenant_month.c.revision,
    )
    name = tenant_month.c.tenant_id, tenant_month.c.month
    chosen = select(*name).where(tenant_month.c.month.in_(months))
    if tenant is not None:
        chosen = chosen.where(tenant_month.c.tenant_id == tenant)
    if lowest is not None:
        chosen = chosen.order_by(tenant_month.c.availability, *name).limit(lowest)
    keys = chosen.subquery()
    own = and_(keys.c.tenant_id == tenant_month.c.tenant_id, keys.c.month == tenant_month.c.month)
    others = (statement.c[each] for each in ("excluded_us", "eligible_us", "policy", "policy_version", "data"))
    query = (
        select(tenant_month, *others)
        .select_from(tenant_month.join(keys, own).join(statement, same))
        .order_by(*((tenant_month.c.availability, *name) if lowest is not None else name))
    )
    rows = connection.execute(query).all()
    every = lowest is None and tenant is None
    issued = _issued(connection, months, None if every else [(row.tenant_id, row.month) for row in rows])
    return [_statement_row(row, issued[row.tenant_id, row.month]) for row in rows]


def _statement_row(row: Row[Any], issued: int) -> StatementRow:
    data = json.loads(row.data)
    until = data.get("claimable_until")
    return StatementRow(
        tenant=row.tenant_id,
        month=Month(row.month),
        status=row.status,
        revision=row.revision,
        availability_percent=row.availability_percent,
        guarantee_met=bool(row.guarantee_met),
        downtime=row.downtime_us,
        excluded=row.excluded_us,
        eligible=row.eligible_us,
        credit_percent=data["credit_percent"],
        credit_minor=row.credit_minor,
        issued_minor=issued,
        waived_minor=data["waived"]["amount_minor"],
        currency=row.currency,
        claimable_until=None if until is None else parse_rfc3339(until),
        flags=tuple(data["flags"]),
        policy=(row.policy, row.policy_version),
    )


def _issued(
    connection: Connection, months: Sequence[Month], wanted: Sequence[tuple[str, str]] | None
) -> Counter[tuple[str, str]]:
    """What was issued for each tenant's month, or for the `wanted` ones; minor units."""
    name = credit.c.tenant_id, credit.c.month
    query = select(*name, func.sum(credit.c.amount_minor).label("issued")).group_by(*name)
    found: Counter[tuple[str, str]] = Counter()
    if wanted is None:
        limits = [credit.c.month.in_(months)]
    else:
        limits = [tuple_(*name).in_(some) for some in chunks(wanted, _AT_ONCE)]
    for limit in limits:
        found.update({(row.tenant_id, row.month): int(row.issued) for row in connection.execute(query.where(limit))})
    return found


def _breaches(connection: Connection, months: Sequence[Month]) -> list[BreachRow]:
    """Every breach that stands, also of a clock that another breach is shown of."""
    key = verdict.c.month, verdict.c.severity, verdict.c.metric
    query = (
        select(*key, func.count().label("number"))
        .where(verdict.c.month.in_(months), verdict.c.verdict == "breached")
        .group_by(*key)
    )
    counts: Counter[tuple[str, str, str]] = Counter()
    for row in connection.execute(query):
        counts[row.month, row.severity, row.metric] = row.number
    columns = (*key, verdict.c.verdict, verdict.c.superseded)
    hidden = select(*columns).where(verdict.c.superseded.is_not(None))  # few; no condition that an index would serve
    for shown in connection.execute(hidden).mappings():
        for each in json.loads(shown["superseded"]):  # only what differs from the verdict that is shown
            other = {**shown, **each}
            if other["verdict"] == "breached" and other["month"] in months:
                counts[other["month"], other["severity"], other["metric"]] += 1
    return [BreachRow(*each, count) for each, count in sorted(counts.items())]
