"""Tenants, and their months by the latest statements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, func, select, tuple_, union

from board.queries.tenant_scope import EVERY_TENANT, TenantScope
from board.store.chunks import chunks
from board.store.tables import contract, statement, tenant_month
from streams.sla.instants import Month


@dataclass(frozen=True, slots=True)
class TenantMonth:
    """The latest statement of a tenant's month. `downtime` and `excluded` are microseconds, `availability` is 0 to 1,
    `credit_minor` minor units; `stated_at` is the statement's nominal instant."""

    tenant_id: str
    month: Month
    revision: int
    status: str
    availability: float
    availability_percent: str
    guarantee_met: bool
    downtime: int
    excluded: int
    credit_minor: int
    currency: str
    policy: str
    policy_version: str
    stated_at: int


@dataclass(frozen=True, slots=True)
class TenantRow:
    """A tenant with its latest month; None before its first statement."""

    tenant_id: str
    latest: TenantMonth | None


@dataclass(frozen=True, slots=True)
class TenantPage:
    """Some tenants, those with the worst latest month first, and how many there are in all."""

    rows: tuple[TenantRow, ...]
    total: int


def tenants(
    connection: Connection,
    *,
    search: str = "",
    limit: int = 100,
    offset: int = 0,
    scope: TenantScope = EVERY_TENANT,
) -> TenantPage:
    """Tenants that have a contract or a statement; `search` is a part of the id. First those whose latest month missed
    the guarantee, by availability; those without a statement come last."""
    names = union(select(contract.c.tenant_id), select(tenant_month.c.tenant_id)).subquery()
    wanted = and_(names.c.tenant_id.contains(search, autoescape=True), *scope.tenant_condition(names.c.tenant_id))
    latest = (
        select(tenant_month.c.tenant_id, func.max(tenant_month.c.month).label("month"))
        .group_by(tenant_month.c.tenant_id)
        .subquery()
    )
    stated = tenant_month.alias("stated")
    # The order needs no statement: only those of one page are read.
    query = (
        select(names.c.tenant_id, stated.c.month)
        .select_from(names)
        .outerjoin(latest, latest.c.tenant_id == names.c.tenant_id)
        .outerjoin(stated, and_(stated.c.tenant_id == names.c.tenant_id, stated.c.month == latest.c.month))
        .where(wanted)
        .order_by(stated.c.month.is_(None), stated.c.guarantee_met, stated.c.availability, names.c.tenant_id)
        .limit(limit)
        .offset(offset)
    )
    chosen = [(row.tenant_id, row.month) for row in connection.execute(query)]
    found: dict[str, TenantMonth] = {}
    keys = [key for key in chosen if key[1] is not None]
    for some in chunks(keys, 200):
        own = tuple_(tenant_month.c.tenant_id, tenant_month.c.month).in_(some)
        found |= {row.tenant_id: _month(row) for row in connection.execute(_months().where(own))}
    total = connection.execute(select(func.count()).select_from(names).where(wanted)).scalar_one()
    return TenantPage(tuple(TenantRow(name, found.get(name)) for name, _ in chosen), total)


def tenant_known(connection: Connection, tenant_id: str) -> bool:
    """Whether a tenant has a contract or a statement."""
    for table in (contract, tenant_month):
        if connection.execute(select(table.c.tenant_id).where(table.c.tenant_id == tenant_id).limit(1)).first():
            return True
    return False


def tenant_months(
    connection: Connection, tenant_id: str, *, limit: int = 13, before: str | None = None, credited: bool = False
) -> list[TenantMonth]:
    """The latest months of a tenant that have a statement, in order: those before a month, those with a credit."""
    query = _months().where(tenant_month.c.tenant_id == tenant_id).order_by(tenant_month.c.month.desc()).limit(limit)
    if before is not None:
        query = query.where(tenant_month.c.month < before)
    if credited:
        query = query.where(tenant_month.c.credit_minor > 0)
    return [_month(row) for row in reversed(connection.execute(query).all())]


def months_below_guarantee(
    connection: Connection, months: Sequence[str], *, limit: int
) -> tuple[list[TenantMonth], int]:
    """Tenants' months that missed the guarantee by their latest statement: the latest months first, then by
    availability; and how many there are in all."""
    wanted = [tenant_month.c.month.in_(months), tenant_month.c.guarantee_met.is_(False)]
    query = (
        _months()
        .where(*wanted)
        .order_by(tenant_month.c.month.desc(), tenant_month.c.availability, tenant_month.c.tenant_id)
        .limit(limit)
    )
    rows = [_month(row) for row in connection.execute(query)]
    total = connection.execute(select(func.count()).select_from(tenant_month).where(*wanted)).scalar_one()
    return rows, total


def months_with_statements(connection: Connection, tenant_id: str, month: str) -> tuple[str | None, str | None]:
    """The months before and after that have a statement, for links."""
    mine = tenant_month.c.tenant_id == tenant_id
    before = select(func.max(tenant_month.c.month)).where(mine, tenant_month.c.month < month)
    after = select(func.min(tenant_month.c.month)).where(mine, tenant_month.c.month > month)
    return connection.execute(before).scalar(), connection.execute(after).scalar()


def _months() -> Select[Any]:
    """Each tenant's months, with the columns of `TenantMonth`."""
    same = and_(
        statement.c.tenant_id == tenant_month.c.tenant_id,
        statement.c.month == tenant_month.c.month,
        statement.c.revision == tenant_month.c.revision,
    )
    return select(
        tenant_month,
        statement.c.excluded_us,
        statement.c.policy,
        statement.c.policy_version,
        statement.c.occurred_at,
    ).join_from(tenant_month, statement, same)


def _month(row: Row[Any]) -> TenantMonth:
    return TenantMonth(
        tenant_id=row.tenant_id,
        month=Month(row.month),
        revision=row.revision,
        status=row.status,
        availability=row.availability,
        availability_percent=row.availability_percent,
        guarantee_met=bool(row.guarantee_met),
        downtime=row.downtime_us,
        excluded=row.excluded_us,
        credit_minor=row.credit_minor,
        currency=row.currency,
        policy=row.policy,
        policy_version=row.policy_version,
        stated_at=row.occurred_at,
    )
