"""Rejected input and the notifier's records to rows of the read model. Pure."""

from __future__ import annotations

import json

from board.ingest.records import IngestRecord
from board.ingest.rows import Row, text_of
from board.store.events import json_text
from connect.notify.page_store_rows import read_key
from streams.runtime.dead_letter import RejectedHeaders
from streams.serde.codec import Fields
from streams.serde.input_records import CONTRACT_EVENTS, INCIDENT_EVENTS

#: A larger original is not copied: it stays in its own topic.
_MAX_ORIGINAL_BYTES = 256 * 1024
_MAX_KEY = 1024
_MAX_SUBJECT = 256
_MAX_OFFSET = 2**63 - 1
_AGENT_OF = {INCIDENT_EVENTS: "incidents", CONTRACT_EVENTS: "ledger", "incidents": "incidents", "ledger": "ledger"}


def reject(
    record: IngestRecord, headers: RejectedHeaders, prefix: str, decoded: tuple[str, Fields] | None
) -> tuple[Row, list[str]]:
    """The row, and the tenants that its original names. `decoded` is the original where it is an event."""
    topic = headers.topic.removeprefix(f"{prefix}.")
    agent = "intake" if topic.startswith("intake/") else _AGENT_OF.get(topic)
    subject = None if record.key is None else record.key.decode(errors="replace")
    names: list[str] = []
    if decoded is not None:
        subject = str(decoded[1].get("subject", subject))
        tenants = decoded[1].get("tenant_ids")
        names = [str(each) for each in tenants] if isinstance(tenants, list) else []
    original = record.value if len(record.value or b"") <= _MAX_ORIGINAL_BYTES else None
    shown = [[name, (value or b"").decode(errors="replace")] for name, value in record.headers]
    row: Row = {
        "partition": record.partition,
        "offset": record.offset,
        "rejected_at": record.timestamp,
        "code": headers.code[:32],
        "message": text_of(headers.message),
        "agent": agent,
        "event_type": None if decoded is None else decoded[0],
        "subject": text_of(subject[:_MAX_SUBJECT]) if subject is not None else None,
        "original_topic": text_of(topic[:249]),
        "original_partition": headers.partition,
        "original_offset": min(headers.offset, _MAX_OFFSET),
        "original": original,
        "headers": json_text(shown),
    }
    return row, names


def notification(record: IngestRecord) -> tuple[str, Row | None] | None:
    """Key and row, which is None when the key is deleted; None for a record that is not the notifier's."""
    key = read_key(record.key)
    if key is None or record.key is None:
        return None
    name = record.key.decode()
    if "\0" in name or len(name) > _MAX_KEY:
        return None
    if record.value is None:
        return name, None
    try:
        found = json.loads(record.value)
        incident = found["incident"]
    except (ValueError, KeyError, TypeError):
        return None
    row: Row = {
        "key": name,
        "destination": key.destination,
        "kind": key.kind,
        "incident_id": str(incident)[:_MAX_SUBJECT],
        "written_at": record.timestamp,
        "partition": record.partition,
        "offset": record.offset,
        "data": text_of(record.value.decode()),
    }
    return name, row
