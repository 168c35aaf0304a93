"""The read model once more, from all records at once and without SQL: what the database must come to."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, select

from board.ingest import other_rows, rows
from board.ingest.records import IngestRecord, decoded
from board.store.tables import metadata
from streams.runtime.dead_letter import rejected_headers
from streams.serde.codec import Codec
from streams.sla.events import Rejection

Tables = dict[str, dict[tuple[Any, ...], dict[str, Any]]]

_ENTRIES = ("incident-events", "contract-events", "incidents", "alerts")


def dump(connection: Connection) -> Tables:
    """Every row of every table but the checkpoint, by primary key."""
    found: Tables = {}
    for name, table in metadata.tables.items():
        if name != "checkpoint":
            keys = [column.name for column in table.primary_key]
            listed = connection.execute(select(table)).mappings()
            found[name] = {tuple(row[key] for key in keys): dict(row) for row in listed}
    return found


def text_of(tables: Tables) -> str:
    """The content of all tables, byte by byte."""
    return repr([(name, sorted(map(repr, rows.values()))) for name, rows in sorted(tables.items())])


def slow_model(records: Iterable[IngestRecord], prefix: str = "sla") -> Tables:
    """The tables after these records, without erasures. Records of one partition are in their order."""
    codec = Codec()
    tables: Tables = {name: {} for name in metadata.tables if name != "checkpoint"}
    alerts: dict[tuple[Any, ...], list[tuple[str, dict[str, Any]]]] = defaultdict(list)

    def put(name: str, row: dict[str, Any]) -> None:
        keys = [column.name for column in metadata.tables[name].primary_key]
        tables[name][tuple(row[key] for key in keys)] = row

    def name_tenants(kind: str, subject: str, tenants: Iterable[str]) -> None:
        for tenant in tenants:
            put("named_tenant", {"tenant_id": tenant, "kind": kind, "subject": subject})

    for record in records:
        if record.topic == "rejected":
            headers = rejected_headers(record.headers)
            original = codec.decode(record.value)
            event = None if isinstance(original, Rejection) else original
            if headers is not None:
                row, tenants = other_rows.reject(record, headers, prefix, event)
                put("reject", row)
                if event is not None:
                    kind = "maintenance" if event[0].startswith("maintenance.") else "incident"
                    name_tenants(kind, row["subject"], tenants)
            continue
        if record.topic == "notifications":
            found = other_rows.notification(record)
            if found is not None:
                tables["notification"].pop((found[0],), None)
                if found[1] is not None:
                    put("notification", found[1])
            continue
        if record.topic == "incident-state":
            name = (record.key or b"").decode()
            tables["incident"].pop((name,), None)
            for key in [key for key in tables["incident_tenant"] if key[1] == name]:
                del tables["incident_tenant"][key]
            if record.value is None:
                continue
        event = decoded(codec, record)
        if isinstance(event, Rejection):
            continue
        kind, fields = event
        if record.topic in _ENTRIES:
            put("entry", rows.entry(record, kind, fields))
        if record.topic == "incident-state":
            put("incident", rows.incident(record, fields))
            for tenant in fields["tenant_ids"]:  # type: ignore[attr-defined]
                put("incident_tenant", {"tenant_id": tenant, "incident_id": fields["incident_id"]})
        if record.topic != "contract-events":
            name_tenants("incident", str(fields["subject"]), rows.named_tenants(fields))
        elif kind.startswith("maintenance."):
            name_tenants("maintenance", str(fields["subject"]), rows.named_tenants(fields))
            _put_first(tables["maintenance"], "maintenance_id", rows.maintenance(record, kind, fields))
        elif kind == "contract.set":
            _put_first(tables["contract"], "tenant_id", rows.contract(record, fields))
        if kind in {"sla.met", "sla.breached", "sla.breach_retracted"}:
            alerts[fields["incident_id"], fields["metric"], fields["instance"]].append((kind, fields))
        if kind == "credit.statement":
            row = rows.statement(record, fields)
            put("statement", row)
            known = tables["tenant_month"].get((row["tenant_id"], row["month"]))
            if known is None or known["revision"] < row["revision"]:
                columns = metadata.tables["tenant_month"].columns
                put("tenant_month", {column.name: row[column.name] for column in columns})
        if kind == "credit.issued":
            row = rows.credit(record, fields)
            tables["credit"].setdefault((row["event_id"],), row)
    for key, told in alerts.items():
        standing = _standing(told)
        if standing:
            tables["verdict"][key] = standing
    return tables


def _put_first(table: dict[tuple[Any, ...], dict[str, Any]], own: str, row: dict[str, Any]) -> None:
    """Of equal ids the first to arrive stands (R1)."""
    key = (row[own], row["source"], row["event_id"])
    known = table.get(key)
    names = ("arrived_at", "partition", "offset")
    if known is None or tuple(row[name] for name in names) < tuple(known[name] for name in names):
        table[key] = row


def _standing(told: list[tuple[str, Any]]) -> dict[str, Any] | None:
    """The last breach whose deadline was not retracted after it; else the last met."""
    breaches: dict[int, dict[str, Any]] = {}
    met: dict[str, Any] | None = None
    for kind, fields in told:
        breaches.pop(fields["deadline"], None) if kind != "sla.met" else None
        if kind == "sla.breached":
            breaches[fields["deadline"]] = rows.verdict(kind, fields)
        elif kind == "sla.met":
            met = rows.verdict(kind, fields)
    standing = [each for each in (met, *breaches.values()) if each is not None]
    if not standing:
        return None
    *others, shown = standing
    hidden = [{name: value for name, value in each.items() if value != shown[name]} for each in others]
    text = json.dumps(hidden, ensure_ascii=False, separators=(",", ":")) if hidden else None
    return shown | {"superseded": text}
