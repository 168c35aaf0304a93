"""Tenants, their months and the statements of a month, with what they rest on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import Connection, Row, Select, and_, func, select, tuple_, union

from board.queries.contracts import rejected_fact
from board.queries.tenant_scope import EVERY_TENANT, TenantScope
from board.store.tables import contract, credit, entry, incident, statement, tenant_month
from streams.replay.simulate import LEDGER_SOURCE
from streams.serde.cloudevents_json import from_json
from streams.serde.input_records import CONTRACT_EVENTS
from streams.sla.credits.submitted import SubmittedStatement, submitted_statement
from streams.sla.events import Position, Rejection
from streams.sla.instants import Month, format_rfc3339

#: Revisions of one month that are read, the latest first.
MOST_REVISIONS = 200
CREDITS = "credits"


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


@dataclass(frozen=True, slots=True)
class EvidenceItem:
    """An input that decided: what it is about, and where it is in Kafka."""

    kind: str
    id: str
    position: Position


@dataclass(frozen=True, slots=True)
class StatementDetail:
    """One revision of a month's statement. `position` is its own place in Kafka."""

    terms: SubmittedStatement
    event_id: str
    evidence: tuple[EvidenceItem, ...]
    position: Position
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CreditRow:
    """A credit that was issued to billing. `cause` is claimed, automatic or adjusted."""

    event_id: str
    revision: int
    amount_minor: int
    currency: str
    cause: str
    issued_at: int
    position: Position


@dataclass(frozen=True, slots=True)
class ClaimRow:
    """A claim of a month's credit."""

    event_id: str
    occurred_at: int
    position: Position


@dataclass(frozen=True, slots=True)
class NamedIncident:
    """An incident that a statement names. Without its row (deleted by retention, or not to be seen) the other fields
    are None."""

    incident_id: str
    title_en: str | None = None
    title_ja: str | None = None
    severity: str | None = None
    component: str | None = None
    started_at: int | None = None
    restored_at: int | None = None


# -- tenants ---------------------------------------------------------------------------------------------------------


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
    for first in range(0, len(keys), 200):
        own = tuple_(tenant_month.c.tenant_id, tenant_month.c.month).in_(keys[first : first + 200])
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


# -- statements ------------------------------------------------------------------------------------------------------


def revisions(connection: Connection, tenant_id: str, month: str) -> list[StatementDetail]:
    """The statements of a tenant's month in order of revision, at most the last `MOST_REVISIONS`."""
    query = (
        select(statement)
        .where(statement.c.tenant_id == tenant_id, statement.c.month == month)
        .order_by(statement.c.revision.desc())
        .limit(MOST_REVISIONS)
    )
    return [statement_detail(row) for row in reversed(connection.execute(query).all())]


def statement_detail(row: Row[Any]) -> StatementDetail:
    """A row of `statement` with its terms. Raises ValueError for data that is not a statement."""
    data = cast(dict[str, Any], json.loads(row.data))
    parsed = from_json(
        {
            "specversion": "1.0",
            "id": row.event_id,
            "type": "credit.statement",
            "source": LEDGER_SOURCE,
            "subject": row.tenant_id,
            "time": format_rfc3339(row.occurred_at),
            "data": data,
        }
    )
    if isinstance(parsed, Rejection):
        raise ValueError(f"statement {row.event_id} of {row.tenant_id} {row.month}: {parsed.message}")
    record = parsed[1]
    evidence = tuple(
        EvidenceItem(item["kind"], item["id"], Position(item["topic"], item["partition"], item["offset"]))
        for item in cast(list[dict[str, Any]], record["evidence"])
    )
    position = Position(CREDITS, row.partition, row.offset)
    return StatementDetail(submitted_statement(record, data), row.event_id, evidence, position, data)


def issued_credits(connection: Connection, tenant_id: str, month: str) -> list[CreditRow]:
    """The credits issued for a tenant's month, in order of their instants."""
    query = (
        select(credit)
        .where(credit.c.tenant_id == tenant_id, credit.c.month == month)
        .order_by(credit.c.issued_at, credit.c.statement_revision)
    )
    return [
        CreditRow(
            event_id=row.event_id,
            revision=row.statement_revision,
            amount_minor=row.amount_minor,
            currency=row.currency,
            cause=row.cause,
            issued_at=row.issued_at,
            position=Position(CREDITS, row.partition, row.offset),
        )
        for row in connection.execute(query)
    ]


def claims(connection: Connection, tenant_id: str, month: str, *, standing: bool = False) -> list[ClaimRow]:
    """The claims of a tenant's month, in order; those that were rejected too, unless only `standing` ones are asked
    for."""
    query = (
        select(entry)
        .where(
            entry.c.subject == tenant_id,
            entry.c.topic == CONTRACT_EVENTS,
            entry.c.type == "credit.claimed",
        )
        .order_by(entry.c.occurred_at)
    )
    if standing:
        query = query.where(~rejected_fact(entry))
    return [
        ClaimRow(row.event_id, row.occurred_at, Position(row.topic, row.partition, row.offset))
        for row in connection.execute(query)
        if json.loads(row.data).get("month") == month
    ]


def incident_links(
    connection: Connection, incident_ids: list[str], scope: TenantScope = EVERY_TENANT
) -> list[NamedIncident]:
    """The incidents of these ids, in the order of their start; those without a row that may be seen come last. (An
    incident that a statement rests on may concern other tenants by now.)"""
    found: dict[str, NamedIncident] = {}
    for first in range(0, len(incident_ids), 500):
        some = incident.c.incident_id.in_(incident_ids[first : first + 500])
        query = select(incident).where(some, *scope.incident_conditions())
        for row in connection.execute(query):
            found[row.incident_id] = NamedIncident(
                row.incident_id,
                row.title_en,
                row.title_ja,
                row.severity,
                row.component,
                row.started_at,
                row.restored_at,
            )
    links = [found.get(name) or NamedIncident(name) for name in incident_ids]
    return sorted(links, key=lambda link: (link.started_at is None, link.started_at or 0, link.incident_id))


def months_with_statements(connection: Connection, tenant_id: str, month: str) -> tuple[str | None, str | None]:
    """The months before and after that have a statement, for links."""
    mine = tenant_month.c.tenant_id == tenant_id
    before = select(func.max(tenant_month.c.month)).where(mine, tenant_month.c.month < month)
    after = select(func.min(tenant_month.c.month)).where(mine, tenant_month.c.month > month)
    return connection.execute(before).scalar(), connection.execute(after).scalar()
