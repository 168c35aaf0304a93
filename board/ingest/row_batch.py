"""What a batch of records changes, before it is written: rows of each table, the newest of each key."""

from __future__ import annotations

from dataclasses import dataclass, field

from board.ingest import other_rows, rows
from board.ingest.audit_rows import audit_event
from board.ingest.records import IngestRecord, decoded
from board.ingest.rows import Row
from board.proposals.proposal import ProposalEvent
from board.proposals.stored import proposal_event
from streams.errors import SlaError
from streams.runtime.dead_letter import rejected_headers
from streams.serde.codec import Codec, Fields
from streams.sla.events import Rejection

INCIDENT_KIND, MAINTENANCE_KIND = "incident", "maintenance"
#: A tenant that a record names, and the incident or maintenance window that it is about: a row of `named_tenant`.
Naming = tuple[str, str, str]


@dataclass(slots=True)
class RowBatch:
    """Rows by table. `incidents` and `notifications` are by key, None for a deleted key. `verdicts` are in their order:
    a retraction is a row without `verdict`. `proposals` are in their order.
    `audited` are the tenants that stored rows of `audit` name."""

    codec: Codec
    prefix: str
    incidents: dict[str, Row | None] = field(default_factory=dict)
    incident_tenants: dict[str, list[str]] = field(default_factory=dict)
    named: set[Naming] = field(default_factory=set)
    entries: list[Row] = field(default_factory=list)
    verdicts: list[Row] = field(default_factory=list)
    statements: list[Row] = field(default_factory=list)
    credits: list[Row] = field(default_factory=list)
    contracts: list[Row] = field(default_factory=list)
    maintenance: list[Row] = field(default_factory=list)
    rejects: list[Row] = field(default_factory=list)
    notifications: dict[str, Row | None] = field(default_factory=dict)
    erased: set[str] = field(default_factory=set)
    proposals: list[ProposalEvent] = field(default_factory=list)
    audit: list[Row] = field(default_factory=list)
    audited: set[str] = field(default_factory=set)

    def add(self, record: IngestRecord) -> Rejection | None:
        """Add one record, in the order of its partition; why it is skipped where it is. Raises RegistryUnavailable."""
        try:
            return self._add(record)
        except SlaError:
            raise
        except Exception as error:  # no record may stop the board
            return Rejection("internal", f"no row follows from it: {error!r}")

    def _add(self, record: IngestRecord) -> Rejection | None:
        match record.topic:
            case "rejected":
                return self._add_reject(record)
            case "notifications":
                return self._add_notification(record)
            case "incident-state" if record.value is None:
                if record.key is not None:
                    self.incidents[record.key.decode(errors="replace")] = None
                return None
        found = decoded(self.codec, record)
        if isinstance(found, Rejection):
            return found
        self._add_event(record, *found)
        return None

    def _add_event(self, record: IngestRecord, event_type: str, fields: Fields) -> None:
        match record.topic:
            case "incident-state":
                row = rows.incident(record, fields)
                incident = row["incident_id"]
                self.incidents[incident] = row
                self.incident_tenants[incident] = list(rows.named_tenants(fields))
                self._name(INCIDENT_KIND, incident, fields)
            case "credits":
                if event_type == "credit.statement":
                    self.statements.append(rows.statement(record, fields))
                else:
                    self.credits.append(rows.credit(record, fields))
            case "contract-events":
                self.entries.append(rows.entry(record, event_type, fields))
                if event_type == "contract.set":
                    self.contracts.append(rows.contract(record, fields))
                elif event_type.startswith("maintenance."):
                    self.maintenance.append(rows.maintenance(record, event_type, fields))
                    self._name(MAINTENANCE_KIND, str(fields["subject"]), fields)
                elif event_type == "tenant.erased":
                    self.erased.add(str(fields["tenant_id"]))
            case "audit":
                self.audit.append(audit_event(record, event_type, fields))
                if (event := proposal_event(event_type, fields)) is not None:
                    self.proposals.append(event)
            case _:
                self.entries.append(rows.entry(record, event_type, fields))
                self._name(INCIDENT_KIND, str(fields["subject"]), fields)
                if event_type in {"sla.met", "sla.breached"}:
                    self.verdicts.append(rows.verdict(event_type, fields))
                elif event_type == "sla.breach_retracted":
                    key = ("incident_id", "metric", "instance", "deadline")
                    self.verdicts.append({name: fields[name] for name in key})

    def _name(self, kind: str, subject: str, fields: Fields) -> None:
        for tenant in rows.named_tenants(fields):
            self.named.add((tenant, kind, subject))

    def _add_reject(self, record: IngestRecord) -> Rejection | None:
        headers = rejected_headers(record.headers)
        if headers is None:
            return Rejection("undecodable", "without the headers of a rejected record")
        original = self.codec.decode(record.value)
        event = None if isinstance(original, Rejection) else original
        row, names = other_rows.reject(record, headers, self.prefix, event)
        self.rejects.append(row)
        if event is not None and row["subject"] is not None:
            kind = MAINTENANCE_KIND if event[0].startswith("maintenance.") else INCIDENT_KIND
            self.named.update((tenant, kind, row["subject"]) for tenant in names)
        return None

    def _add_notification(self, record: IngestRecord) -> Rejection | None:
        found = other_rows.notification(record)
        if found is None:
            return Rejection("undecodable", "not a record of the notifier")
        self.notifications[found[0]] = found[1]
        return None
