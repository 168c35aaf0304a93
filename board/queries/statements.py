"""The statements of a tenant's month, with what they rest on: evidence, credits, claims and incidents."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import Connection, Row, select

from board.queries.contracts import rejected_fact
from board.queries.tenant_scope import EVERY_TENANT, TenantScope
from board.store.chunks import chunks
from board.store.tables import credit, entry, incident, statement
from streams.replay.simulate import LEDGER_SOURCE
from streams.serde.cloudevents_json import from_json
from streams.serde.input_records import CONTRACT_EVENTS
from streams.sla.credits.submitted import SubmittedStatement, submitted_statement
from streams.sla.events import Position, Rejection
from streams.sla.instants import format_rfc3339

#: Revisions of one month that are read, the latest first.
MOST_REVISIONS = 200
CREDITS = "credits"


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

    @classmethod
    def of(cls, row: Row[Any]) -> NamedIncident:
        """From a row of the table `incident`."""
        return cls(
            *(row.incident_id, row.title_en, row.title_ja, row.severity, row.component),
            *(row.started_at, row.restored_at),
        )


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
    for some in chunks(incident_ids):
        query = select(incident).where(incident.c.incident_id.in_(some), *scope.incident_conditions())
        for row in connection.execute(query):
            found[row.incident_id] = NamedIncident.of(row)
    links = [found.get(name) or NamedIncident(name) for name in incident_ids]
    return sorted(links, key=lambda link: (link.started_at is None, link.started_at or 0, link.incident_id))
