"""Events to rows of the read model. Pure; every function returns a row of the table that it is named after."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import RowMapping

from board.ingest.records import IngestRecord
from board.store.events import data_text, json_text
from streams.serde.codec import Fields
from streams.sla.instants import format_rfc3339

Row = dict[str, Any]
#: A row as it comes from the database.
RowLike = RowMapping | Row


def text_of(value: str | None) -> str | None:
    """A text that PostgreSQL can store: without NUL."""
    return value if value is None or "\0" not in value else value.replace("\0", "\ufffd")


def incident(record: IngestRecord, fields: Mapping[str, Any]) -> Row:
    title, following = fields["title"], fields["next"]
    return {
        "incident_id": fields["incident_id"],
        "revision": fields["revision"],
        "status": fields["status"],
        "waiting": fields["waiting"],
        "severity": fields["severity"],
        "covered": fields["coverage"] == "covered",
        "rule": fields["rule"],
        "scope": fields["scope"],
        "component": fields["component"],
        "impact": fields["impact"],
        "title_en": text_of(title["en"]),
        "title_ja": text_of(title["ja"]),
        "summary": text_of(fields["summary"]),
        "ticket_id": text_of(fields["ticket_id"]),
        "opened_at": fields["opened_at"],
        "started_at": fields["started_at"],
        "restored_at": fields["restored_at"],
        "ended_at": fields["ended_at"],
        "responded_at": fields["responded_at"],
        "updated_at": fields["updated_at"],
        "next_deadline": fields["next_deadline"],
        "next_at": None if following is None else following["at"],
        "breached": sum(clock["state"] == "breached" for clock in fields["clocks"]),
        "backfill": fields["backfill"],
        "policy": fields["policy"]["name"],
        "policy_version": fields["policy"]["version"],
        "changed_at": fields["occurred_at"],
        "partition": record.partition,
        "offset": record.offset,
        "data": data_text("incident.state", fields),
    }


def entry(record: IngestRecord, event_type: str, fields: Mapping[str, Any]) -> Row:
    return {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "subject": fields["subject"],
        "type": event_type,
        "event_id": fields["event_id"],
        "source": text_of(fields["source"]),
        "occurred_at": fields["occurred_at"],
        "arrived_at": record.timestamp,
        "received_at": fields.get("received_time"),
        "backfill": fields["backfill"],
        "data": data_text(event_type, fields),
    }


def verdict(event_type: str, fields: Mapping[str, Any]) -> Row:
    """Of `sla.met` or `sla.breached`. A verdict is of the month in which its clock ended."""
    at = fields["met_at"] if event_type == "sla.met" else fields["occurred_at"]
    return {
        "incident_id": fields["incident_id"],
        "metric": fields["metric"],
        "instance": fields["instance"],
        "verdict": event_type.removeprefix("sla."),
        "deadline": fields["deadline"],
        "at": at,
        "month": format_rfc3339(at)[:7],
        "severity": fields["severity"],
        "component": fields["component"],
        "scope": fields["scope"],
        "tenant_ids": json_text(list(fields["tenant_ids"])),
        "backfill": fields["backfill"],
    }


def statement(record: IngestRecord, fields: Mapping[str, Any]) -> Row:
    availability, credit = fields["availability"], fields["credit"]
    eligible = availability["denominator"]
    return {
        "tenant_id": fields["tenant_id"],
        "month": fields["month"],
        "revision": fields["revision"],
        "status": fields["status"],
        "event_id": fields["event_id"],
        "occurred_at": fields["occurred_at"],
        "published_at": record.timestamp,
        "policy": fields["policy"]["name"],
        "policy_version": fields["policy"]["version"],
        "eligible_us": fields["eligible_s"],
        "downtime_us": fields["downtime_s"],
        "excluded_us": fields["excluded_s"],
        "availability": availability["numerator"] / eligible if eligible else 1.0,
        "availability_percent": availability["percent"],
        "guarantee_met": fields["guarantee_met"],
        "charge_minor": fields["monthly_charge"]["amount_minor"],
        "credit_minor": credit["amount_minor"],
        "currency": credit["currency"],
        "partition": record.partition,
        "offset": record.offset,
        "data": data_text("credit.statement", fields),
    }


def credit(record: IngestRecord, fields: Mapping[str, Any]) -> Row:
    return {
        "event_id": fields["event_id"],
        "tenant_id": fields["tenant_id"],
        "month": fields["month"],
        "statement_revision": fields["statement_revision"],
        "amount_minor": fields["amount"]["amount_minor"],
        "currency": fields["amount"]["currency"],
        "cause": fields["cause"],
        "issued_at": fields["occurred_at"],
        "partition": record.partition,
        "offset": record.offset,
        "data": data_text("credit.issued", fields),
    }


def contract(record: IngestRecord, fields: Mapping[str, Any]) -> Row:
    return {
        **_arrived(record, fields),
        "tenant_id": fields["tenant_id"],
        "valid_from": fields["valid_from"],
        "valid_to": fields["valid_to"],
        "plan": fields["plan"],
        "charge_minor": fields["monthly_charge"]["amount_minor"],
        "currency": fields["monthly_charge"]["currency"],
        "tier": fields["tier"],
        "time_zone": fields["time_zone"],
        "data": data_text("contract.set", fields),
    }


def maintenance(record: IngestRecord, event_type: str, fields: Mapping[str, Any]) -> Row:
    return {
        **_arrived(record, fields),
        "maintenance_id": fields["maintenance_id"],
        "type": event_type,
        **{name: fields.get(name) for name in ("scope", "start", "end", "announced_at")},
        "data": data_text(event_type, fields),
    }


def _arrived(record: IngestRecord, fields: Mapping[str, Any]) -> Row:
    return {
        "source": text_of(fields["source"]),
        "event_id": fields["event_id"],
        "occurred_at": fields["occurred_at"],
        "arrived_at": record.timestamp,
        "partition": record.partition,
        "offset": record.offset,
    }


def named_tenants(fields: Fields) -> Iterable[str]:
    """The tenants that an event lists."""
    found = fields.get("tenant_ids")
    return found if isinstance(found, list) else ()
