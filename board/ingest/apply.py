"""Applies records to the read model: the rows that follow from them, in one transaction with how far was read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection

from board.ingest.audit_writes import apply_audit
from board.ingest.records import INCIDENT_STATE, IngestRecord
from board.ingest.redact import redact_batch, restore_erasures
from board.ingest.row_batch import Naming, RowBatch
from board.ingest.rows import Row
from board.ingest.upserts import delete_keys, upsert
from board.ingest.verdicts import apply_verdicts
from board.proposals.stored import apply_proposals
from board.store import tables
from streams.serde.codec import Codec
from streams.sla.erasure import Erasures
from streams.sla.events import Rejection

#: Rows of `named_tenant` that are known to be there.
_MOST_KNOWN = 200_000

OnSkipped = Callable[[IngestRecord, Rejection], None]


@dataclass(frozen=True, slots=True)
class AppliedChanges:
    """What a batch changed: incidents by id, also those whose proposals changed, and tenant months as (tenant id,
    month). With `resync` others may have changed too: a tenant was erased."""

    incidents: frozenset[str] = frozenset()
    tenant_months: frozenset[tuple[str, str]] = frozenset()
    rejects: bool = False
    notifications: bool = False
    resync: bool = False


@dataclass(slots=True)
class Applier:
    """Applies batches of records. `prefix` is that of the topics, `pseudonym_key` the agents' (R29).

    Records of one partition must come in their order, and each once; those of different partitions in any order.
    Its memory follows the transactions: call `forget` after one that was rolled back.
    """

    codec: Codec
    prefix: str
    pseudonym_key: bytes = b""
    _erasures: Erasures | None = None
    _known: set[Naming] = field(default_factory=set)

    def forget(self) -> None:
        """Drop what is remembered of the database; it is read again."""
        self._erasures = None
        self._known.clear()

    def apply(
        self, connection: Connection, records: Iterable[IngestRecord], on_skipped: OnSkipped = lambda *_: None
    ) -> AppliedChanges:
        """Write the rows of the records in the connection's transaction. `on_skipped` is called for every record that
        is no event of its topic. Raises RegistryUnavailable, PseudonymKeyChanged, and SQLAlchemy's errors."""
        batch = RowBatch(self.codec, self.prefix)
        states: dict[bytes | None, list[IngestRecord]] = {}
        for record in records:
            if record.topic == INCIDENT_STATE:
                states.setdefault(record.key, []).append(record)
            elif (reason := batch.add(record)) is not None:
                on_skipped(record, reason)
        for versions in states.values():
            _add_newest(batch, versions, on_skipped)
        if self._erasures is None:
            self._erasures = restore_erasures(connection, self.pseudonym_key)
        discussed = self._write(connection, batch, self._erasures)
        erased = redact_batch(connection, batch, self._erasures)
        if erased:
            self._known.clear()
        subjects = {row["subject"] for row in batch.entries if row["topic"] != "contract-events"}
        return AppliedChanges(
            frozenset(subjects | discussed | batch.incidents.keys()),
            frozenset((row["tenant_id"], row["month"]) for row in (*batch.statements, *batch.credits)),
            bool(batch.rejects),
            bool(batch.notifications),
            erased,
        )

    def _write(self, connection: Connection, batch: RowBatch, erasures: Erasures) -> set[str]:
        """Write the rows; the incidents whose proposals changed."""
        self._write_incidents(connection, batch)
        upsert(connection, tables.entry, batch.entries, "keep")
        apply_verdicts(connection, batch.verdicts)
        upsert(connection, tables.statement, batch.statements, "latest")
        upsert(connection, tables.tenant_month, [_month(row) for row in batch.statements], "highest")
        upsert(connection, tables.credit, batch.credits, "keep")
        upsert(connection, tables.contract, batch.contracts, "earliest")
        upsert(connection, tables.maintenance, batch.maintenance, "earliest")
        upsert(connection, tables.reject, batch.rejects, "keep")
        discussed = apply_proposals(connection, batch.proposals)
        batch.audited = apply_audit(connection, batch.audit)
        stored, gone = _split(batch.notifications.items())
        delete_keys(connection, tables.notification.c.key, gone)
        upsert(connection, tables.notification, stored, "replace")
        named = {(erasures.name(tenant), kind, subject) for tenant, kind, subject in batch.named}
        if new := sorted(named - self._known):
            rows = [dict(zip(("tenant_id", "kind", "subject"), each, strict=True)) for each in new]
            upsert(connection, tables.named_tenant, rows, "keep")
            if len(self._known) + len(new) > _MOST_KNOWN:
                self._known.clear()
            self._known.update(new)
        return discussed

    @staticmethod
    def _write_incidents(connection: Connection, batch: RowBatch) -> None:
        stored, gone = _split(batch.incidents.items())
        delete_keys(connection, tables.incident.c.incident_id, gone)
        delete_keys(connection, tables.incident_tenant.c.incident_id, batch.incidents)
        upsert(connection, tables.incident, stored, "replace")
        pairs = [
            {"tenant_id": tenant, "incident_id": row["incident_id"]}
            for row in stored
            for tenant in batch.incident_tenants[row["incident_id"]]
        ]
        upsert(connection, tables.incident_tenant, pairs, "keep")


def _add_newest(batch: RowBatch, versions: list[IngestRecord], on_skipped: OnSkipped) -> None:
    """Add the last record of a key that can be read. What is superseded within a batch need not be."""
    for record in reversed(versions):
        reason = batch.add(record)
        if reason is None:
            return
        on_skipped(record, reason)


def _split(rows: Iterable[tuple[str, Row | None]]) -> tuple[list[Row], list[str]]:
    stored: list[Row] = []
    gone: list[str] = []
    for key, row in rows:
        if row is None:
            gone.append(key)
        else:
            stored.append(row)
    return stored, gone


_MONTH_NAMES: Sequence[str] = tuple(column.name for column in tables.tenant_month.columns)


def _month(statement: Row) -> Row:
    return {name: statement[name] for name in _MONTH_NAMES}
