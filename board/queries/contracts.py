"""Contracts and maintenance windows of a tenant, as their facts say."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, FromClause, and_, exists, or_, select

from board.queries.rejects import names_last_input
from board.store.tables import contract, maintenance, named_tenant, reject
from streams.serde.input_records import CONTRACT_EVENTS
from streams.sla.contracts import Contract, ContractHistory
from streams.sla.events import Money, Position


@dataclass(frozen=True, slots=True)
class MaintenanceRow:
    """The last fact about a maintenance window that concerns a tenant: cancelled, or its latest times. Instants are
    microseconds; `components` are the ids that it names."""

    maintenance_id: str
    cancelled: bool
    platform: bool
    components: tuple[str, ...]
    start: int | None
    end: int | None
    announced_at: int | None
    versions: int


def contract_history(connection: Connection, tenant_id: str) -> ContractHistory:
    """The contract facts of a tenant that were accepted; empty when there are none."""
    history = ContractHistory()
    query = select(contract).where(contract.c.tenant_id == tenant_id, ~rejected_fact(contract))
    for row in connection.execute(query):
        history.add(
            Contract(
                valid_from=row.valid_from,
                time=row.occurred_at,
                id=row.event_id,
                source=row.source,
                valid_to=row.valid_to,
                plan=row.plan,
                charge=Money(row.charge_minor, row.currency),
                tier=row.tier,
                time_zone=row.time_zone,
                emergency_member=bool(json.loads(row.data).get("emergency_member", False)),
                position=Position(CONTRACT_EVENTS, row.partition, row.offset),
            )
        )
    return history


def rejected_fact(table: FromClause) -> ColumnElement[bool]:
    """Whether the record that a row is from was rejected: a quarantine only names the last input of its subject."""
    return exists().where(
        ~names_last_input(),
        reject.c.original_topic == CONTRACT_EVENTS,
        reject.c.original_partition == table.c.partition,
        reject.c.original_offset == table.c.offset,
    )


def maintenance_of(
    connection: Connection, tenant_id: str, *, start: int, end: int, limit: int = 100
) -> list[MaintenanceRow]:
    """The maintenance windows that concern a tenant, or everybody, of which some version overlaps [start, end); by
    their start, at most `limit`."""
    overlapping = and_(maintenance.c.start < end, maintenance.c.end > start)
    names = (
        select(named_tenant.c.subject)
        .where(named_tenant.c.tenant_id == tenant_id, named_tenant.c.kind == "maintenance")
        .scalar_subquery()
    )
    concerned = or_(maintenance.c.scope == "platform", maintenance.c.maintenance_id.in_(names))
    wanted = (
        select(maintenance.c.maintenance_id)
        .where(overlapping, concerned, ~rejected_fact(maintenance))
        .distinct()
        .order_by(maintenance.c.maintenance_id)
        .limit(limit)
    )
    ids = list(connection.execute(wanted).scalars())
    query = (
        select(maintenance)
        .where(maintenance.c.maintenance_id.in_(ids), ~rejected_fact(maintenance))
        .order_by(maintenance.c.occurred_at, maintenance.c.event_id, maintenance.c.source)
    )
    versions: dict[str, list[Any]] = {}
    for row in connection.execute(query):
        versions.setdefault(row.maintenance_id, []).append(row)
    found = [_latest(name, rows) for name, rows in versions.items()]
    return sorted(found, key=lambda row: (row.start is None, row.start or 0, row.maintenance_id))


def _latest(maintenance_id: str, rows: list[Any]) -> MaintenanceRow:
    last = rows[-1]
    scheduled = [row for row in rows if row.start is not None]
    shown = scheduled[-1] if scheduled else last
    data = json.loads(shown.data)
    return MaintenanceRow(
        maintenance_id=maintenance_id,
        cancelled=last.start is None,
        platform=shown.scope == "platform",
        components=tuple(data.get("components", ())),
        start=shown.start,
        end=shown.end,
        announced_at=shown.announced_at,
        versions=len(rows),
    )
