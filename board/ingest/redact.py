"""Erased tenants (R29): what names one is under_pseudonym to its pseudonym and loses its texts, whatever is read first.

Redaction is a function of stored rows and the set of erased tenants, and changes nothing when it is repeated. It runs
after the rows of a batch are written, over everything that the batch touched.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, insert, select, update

from board.ingest.audit_writes import redact_audit
from board.ingest.redacted import (
    redacted_entry,
    redacted_notification,
    redacted_state,
    under_pseudonym,
    with_pseudonyms,
)
from board.ingest.row_batch import INCIDENT_KIND, MAINTENANCE_KIND, RowBatch
from board.ingest.upserts import Conflict, delete_keys, upsert
from board.ingest.verdicts import standing_verdicts, write_verdicts
from board.proposals.stored import delete_effects, get_proposal, redact_proposals
from board.store import tables
from board.store.chunks import chunks
from streams.errors import PseudonymKeyChanged
from streams.serde.input_records import CONTRACT_EVENTS
from streams.sla.erasure import Erasures

_Subject = tuple[str, str]
_ACCOUNT: tuple[tuple[str, Conflict], ...] = (
    ("contract", "earliest"),
    ("statement", "latest"),
    ("tenant_month", "highest"),
    ("credit", "keep"),
)


def restore_erasures(connection: Connection, key: bytes) -> Erasures:
    """The erased tenants of the database. Raises PseudonymKeyChanged when they were erased with another key."""
    erasures = Erasures(key)
    for pseudonym, key_check in connection.execute(select(tables.erased_tenant)):
        if key_check != erasures.key_check:
            raise PseudonymKeyChanged(
                "the board has erased tenants with another SLA_PSEUDONYM_KEY than this one: with this one their names "
                "would reappear; set the key that the workers use, or rebuild the read model (sla board --rebuild)"
            )
        erasures.add(pseudonym)
    return erasures


def redact_batch(connection: Connection, batch: RowBatch, erasures: Erasures) -> bool:
    """Redact what a written batch touched; whether it erased tenants, so that rows of earlier batches changed."""
    new = {tenant for tenant in batch.erased if erasures.pseudonym(tenant) not in erasures}
    for tenant in sorted(new):
        pseudonym = erasures.pseudonym(tenant)
        erasures.add(pseudonym)
        row = {"pseudonym": pseudonym, "key_check": erasures.key_check}
        connection.execute(insert(tables.erased_tenant).values(row))
    if new:
        delete_effects(connection)
    if not erasures:
        return False
    subjects: set[_Subject] = set()
    for tenant in sorted(_tenants(batch)):
        if erasures.name(tenant) != tenant:
            subjects |= _rename(connection, tenant, erasures)
    for pseudonym in sorted(each for each in batch.audited if each in erasures):
        redact_audit(connection, pseudonym, erasures)
    subjects |= _redacted_already(connection, _subjects(connection, batch))
    for kind, subject in sorted(subjects):
        _redact(connection, kind, subject, erasures)
    return bool(new)


def _tenants(batch: RowBatch) -> set[str]:
    found: set[str] = batch.erased | batch.audited | {tenant for tenant, _, _ in batch.named}
    found |= {row["tenant_id"] for row in (*batch.contracts, *batch.statements, *batch.credits)}
    found |= {row["subject"] for row in batch.entries if row["topic"] == CONTRACT_EVENTS}
    found |= {row["subject"] for row in batch.rejects if row["subject"] is not None}
    return found


def _subjects(connection: Connection, batch: RowBatch) -> dict[str, set[str]]:
    rejected = {row["subject"] for row in batch.rejects if row["subject"] is not None}
    incidents = {row["subject"] for row in batch.entries if row["topic"] != CONTRACT_EVENTS} | batch.incidents.keys()
    incidents |= {row["incident_id"] for row in batch.notifications.values() if row is not None} | rejected
    incidents |= {row["incident_id"] for row in batch.verdicts}
    proposals = (get_proposal(connection, each.proposal_id) for each in batch.proposals)
    incidents |= {each.proposed.incident_id for each in proposals if each is not None}
    maintenance = {row["maintenance_id"] for row in batch.maintenance} | rejected
    return {INCIDENT_KIND: incidents, MAINTENANCE_KIND: maintenance}


def _redacted_already(connection: Connection, subjects: dict[str, set[str]]) -> set[_Subject]:
    """Those of the subjects that have ever named an erased tenant."""
    named, erased = tables.named_tenant, tables.erased_tenant
    found: set[_Subject] = set()
    for kind, names in subjects.items():
        for chunk in chunks(sorted(names)):
            query = select(named.c.subject).where(named.c.kind == kind, named.c.subject.in_(chunk))
            query = query.join(erased, erased.c.pseudonym == named.c.tenant_id)
            found |= {(kind, subject) for subject in connection.execute(query).scalars()}
    return found


def _rename(connection: Connection, tenant: str, erasures: Erasures) -> set[_Subject]:
    """Give everything of the tenant's own its pseudonym; the incidents and windows that name it."""
    pseudonym = erasures.pseudonym(tenant)
    for name, conflict in _ACCOUNT:
        table = tables.metadata.tables[name]
        found = connection.execute(select(table).where(table.c.tenant_id == tenant)).mappings()
        rows = [under_pseudonym(row, pseudonym) for row in found]
        delete_keys(connection, table.c.tenant_id, [tenant] if rows else ())
        upsert(connection, table, rows, conflict)
    _redact_entries(connection, (CONTRACT_EVENTS,), tenant, pseudonym, erasures)
    _redact_rejects(connection, tenant, pseudonym)
    redact_audit(connection, tenant, erasures)
    members = tables.incident_tenant
    incidents = connection.execute(select(members.c.incident_id).where(members.c.tenant_id == tenant)).scalars().all()
    delete_keys(connection, members.c.tenant_id, [tenant] if incidents else ())
    upsert(connection, members, [{"tenant_id": pseudonym, "incident_id": each} for each in incidents], "keep")
    named = tables.named_tenant
    rows = [dict(row) for row in connection.execute(select(named).where(named.c.tenant_id == tenant)).mappings()]
    delete_keys(connection, named.c.tenant_id, [tenant] if rows else ())
    upsert(connection, named, [row | {"tenant_id": pseudonym} for row in rows], "keep")
    listed = connection.execute(select(named.c.kind, named.c.subject).where(named.c.tenant_id == pseudonym))
    return {(kind, subject) for kind, subject in listed}


def _redact(connection: Connection, kind: str, subject: str, erasures: Erasures) -> None:
    """Redact all rows about an incident or maintenance window that names an erased tenant."""
    _redact_rejects(connection, subject, subject)
    if kind == MAINTENANCE_KIND:
        _redact_entries(connection, (CONTRACT_EVENTS,), subject, subject, erasures)
        table = tables.maintenance
        rows = connection.execute(select(table).where(table.c.maintenance_id == subject)).mappings()
        changed = [dict(row) | {"data": with_pseudonyms(row["data"], erasures)} for row in rows]
        upsert(connection, table, changed, "replace")
        return
    _redact_entries(connection, ("incident-events", "incidents", "alerts"), subject, subject, erasures)
    redact_proposals(connection, [subject], erasures)
    incident = tables.incident
    rows = connection.execute(select(incident).where(incident.c.incident_id == subject)).mappings()
    upsert(connection, incident, [redacted_state(row, erasures) for row in rows], "replace")
    clocks = standing_verdicts(connection, [subject]).values()
    for each in (verdict for clock in clocks for verdict in clock):
        each["tenant_ids"] = with_pseudonyms(each["tenant_ids"], erasures)
    write_verdicts(connection, clocks)
    notification = tables.notification
    rows = connection.execute(select(notification).where(notification.c.incident_id == subject)).mappings()
    upsert(connection, notification, [redacted_notification(row, erasures) for row in rows], "replace")


def _redact_entries(
    connection: Connection, topics: Iterable[str], subject: str, new_subject: str, erasures: Erasures
) -> None:
    entry = tables.entry
    query = select(entry).where(entry.c.subject == subject, entry.c.topic.in_(tuple(topics)))
    before = [dict(row) for row in connection.execute(query).mappings()]
    after = [redacted_entry(row | {"subject": new_subject}, erasures) for row in before]
    upsert(connection, entry, [row for row, old in zip(after, before, strict=True) if row != old], "replace")


def _redact_rejects(connection: Connection, subject: str, new_subject: str) -> None:
    reject = tables.reject
    without = {"subject": new_subject, "original": None, "message": "", "headers": "[]"}
    connection.execute(update(reject).where(reject.c.subject == subject).values(without))
