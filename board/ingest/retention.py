"""Deletes what is older than the retention, in slices that lock nothing for long."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, and_, delete, exists, not_, select, tuple_

from board.ingest.audit_writes import expire_audit
from board.ingest.row_batch import INCIDENT_KIND
from board.ingest.upserts import delete_keys
from board.proposals.stored import expire_proposals
from board.store.chunks import chunks
from board.store.engine import write_transaction
from board.store.tables import entry, incident, incident_tenant, named_tenant, reject, verdict
from streams.serde.input_records import CONTRACT_EVENTS
from streams.sla.instants import format_rfc3339

#: Rows in one transaction.
SLICE = 1_000


def expire(engine: Engine, before: int) -> Iterator[int]:
    """Delete entries and rejects that arrived before an instant (microseconds), incidents and proposals that ended
    before it, events of the audit log from before it, and verdicts of the months before its month. Statements, credits,
    contracts and maintenance windows stay.

    Each step is a transaction of at most `SLICE` rows; it yields how many. Entries of incidents that have not ended
    stay, and those of contracts, maintenance, claims and erasures: later months are computed from them too.
    """
    for step in (_entries, _verdicts, _rejects, _incidents, _proposals, _audit):
        while True:
            with write_transaction(engine) as connection:
                deleted = step(connection, before)
            yield deleted
            if deleted < SLICE:
                break


def _entries(connection: Connection, before: int) -> int:
    still_open = exists().where(incident.c.incident_id == entry.c.subject, incident.c.ended_at.is_(None))
    query = select(entry.c.topic, entry.c.partition, entry.c.offset, entry.c.subject)
    query = query.where(entry.c.arrived_at < before, entry.c.topic != CONTRACT_EVENTS, not_(still_open))
    found = connection.execute(query.order_by(entry.c.arrived_at).limit(SLICE)).all()
    _delete_by_key(connection, entry, [row[:3] for row in found])
    _forget_names(connection, {row.subject for row in found})
    return len(found)


def _forget_names(connection: Connection, incidents: set[str]) -> None:
    """Which tenants an incident named need not be known once nothing is left of it."""
    has_entries = exists().where(entry.c.subject == named_tenant.c.subject, entry.c.topic != CONTRACT_EVENTS)
    has_state = exists().where(incident.c.incident_id == named_tenant.c.subject)
    for chunk in chunks(sorted(incidents)):
        names = and_(named_tenant.c.kind == INCIDENT_KIND, named_tenant.c.subject.in_(chunk))
        connection.execute(delete(named_tenant).where(names, not_(has_entries), not_(has_state)))


def _verdicts(connection: Connection, before: int) -> int:
    month = format_rfc3339(before)[:7]
    query = select(*verdict.primary_key.columns).where(verdict.c.month < month).limit(SLICE)
    return _delete_by_key(connection, verdict, connection.execute(query).all())


def _rejects(connection: Connection, before: int) -> int:
    query = select(*reject.primary_key.columns).where(reject.c.rejected_at < before).limit(SLICE)
    return _delete_by_key(connection, reject, connection.execute(query).all())


def _incidents(connection: Connection, before: int) -> int:
    query = select(incident.c.incident_id).where(incident.c.ended_at < before).limit(SLICE)
    found = connection.execute(query).scalars().all()
    delete_keys(connection, incident_tenant.c.incident_id, found)
    delete_keys(connection, incident.c.incident_id, found)
    _forget_names(connection, set(found))
    return len(found)


def _proposals(connection: Connection, before: int) -> int:
    return expire_proposals(connection, before, SLICE)


def _audit(connection: Connection, before: int) -> int:
    return expire_audit(connection, before, SLICE)


def _delete_by_key(connection: Connection, table: Any, keys: Sequence[Any]) -> int:
    columns = tuple_(*table.primary_key.columns)
    for chunk in chunks([tuple(key) for key in keys], 100):
        connection.execute(delete(table).where(columns.in_(chunk)))
    return len(keys)
