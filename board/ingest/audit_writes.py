"""The audit log in the database: events are stored once, redacted with an erased tenant, and expire."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, select

from board.ingest.audit_rows import about_proposal, named_in, proposal_of, redacted_audit
from board.ingest.rows import Row
from board.ingest.upserts import delete_keys, upsert
from board.proposals.stored import get_proposal
from board.store.audit_tables import audit_event, audit_tenant
from streams.sla.erasure import Erasures


def apply_audit(connection: Connection, rows: Sequence[Row]) -> set[str]:
    """Store events, the first of each id; the tenants that they name. The proposals that they decide are applied
    before."""
    stored = [_about_its_proposal(connection, row) for row in rows]
    upsert(connection, audit_event, stored, "keep")
    return _link(connection, stored)


def redact_audit(connection: Connection, tenant: str, erasures: Erasures) -> None:
    """Give an erased tenant its pseudonym in everything that names it, by its id or by the pseudonym already."""
    named = select(audit_tenant.c.event_id).where(audit_tenant.c.tenant_id == tenant)
    found = connection.execute(select(audit_event).where(audit_event.c.event_id.in_(named))).mappings()
    rows = [redacted_audit(row, erasures) for row in found]
    upsert(connection, audit_event, rows, "replace")
    delete_keys(connection, audit_tenant.c.event_id, (row["event_id"] for row in rows))
    _link(connection, rows)


def expire_audit(connection: Connection, before: int, most: int) -> int:
    """Delete at most so many events from before an instant; how many."""
    query = select(audit_event.c.event_id).where(audit_event.c.occurred_at < before).limit(most)
    found = connection.execute(query).scalars().all()
    delete_keys(connection, audit_tenant.c.event_id, found)
    delete_keys(connection, audit_event.c.event_id, found)
    return len(found)


def _link(connection: Connection, rows: Sequence[Row]) -> set[str]:
    links = {(tenant, str(row["event_id"])) for row in rows for tenant in named_in(row)}
    pairs = [{"tenant_id": tenant, "event_id": event_id} for tenant, event_id in sorted(links)]
    upsert(connection, audit_tenant, pairs, "keep")
    return {tenant for tenant, _ in links}


def _about_its_proposal(connection: Connection, row: Row) -> Row:
    name = proposal_of(row)
    found = None if name is None else get_proposal(connection, name)
    if found is None:
        return row
    proposed = found.proposed
    return about_proposal(row, proposed.incident_id, proposed.action, proposed.tenants)
