"""Single rows of the read model without the names and texts of erased tenants (R29). Pure."""

from __future__ import annotations

import json
from typing import Any

from board.ingest.rows import Row, RowLike
from board.store.events import cloud_event, data_text, json_text
from streams.serde.cloudevents_json import from_json
from streams.sla.erasure import Erasures
from streams.sla.events import CONTRACT_TYPES, INCIDENT_RANK, Rejection
from streams.sla.facts import stored_event
from streams.sla.redaction import redacted_record

_LINKS = ("ticket_id", "phone_call_id")


def under_pseudonym(row: RowLike, pseudonym: str) -> Row:
    """A row of a tenant's account under its pseudonym. The digest of a statement stays that of the published one."""
    changed = dict(row) | {"tenant_id": pseudonym}
    if "data" in row:
        changed["data"] = json_text(json.loads(row["data"]) | {"tenant_id": pseudonym})
    return changed


def with_pseudonyms(text: str, erasures: Erasures) -> str:
    """JSON of tenant ids, or of an object that lists them, with pseudonyms."""
    found = json.loads(text)
    if isinstance(found, list):
        return json_text(list(erasures.names(tuple(found))))
    return json_text(_names(found, erasures))


def redacted_entry(row: Row, erasures: Erasures) -> Row:
    """An entry of the timeline: an input without texts, persons and links, an output with pseudonyms."""
    if row["type"] not in INCIDENT_RANK and row["type"] not in CONTRACT_TYPES:
        return row | {"data": with_pseudonyms(row["data"], erasures)}
    event = cloud_event(row)
    data = json.loads(row["data"])
    if "tenant_id" in data:
        event["data"] = data | {"tenant_id": row["subject"]}
    parsed = from_json(event)
    accepted = parsed if isinstance(parsed, Rejection) else stored_event(*parsed)
    if isinstance(accepted, Rejection):  # what can't be read can't be redacted in part
        return row | {"data": "{}"}
    redacted = redacted_record(accepted._replace(payload=erasures.payload(accepted.payload)))
    return row | {"data": data_text(row["type"], redacted)}


def redacted_state(row: RowLike, erasures: Erasures) -> Row:
    """The present state of an incident."""
    data = _names(json.loads(row["data"]), erasures)
    for name in ("summary", *_LINKS):
        data.pop(name, None)
    return dict(row) | {"summary": None, "ticket_id": None, "data": json_text(data)}


def redacted_notification(row: RowLike, erasures: Erasures) -> Row:
    """A page or message of the notifier."""
    data = json.loads(row["data"])
    event = data.get("event")
    if isinstance(event, dict) and isinstance(event.get("data"), dict):
        content = _names(event["data"], erasures)
        content.pop("summary", None)
        data["event"] = event | {"data": content}
    return dict(row) | {"data": json_text(data)}


def _names(data: dict[str, Any], erasures: Erasures) -> dict[str, Any]:
    tenants = data.get("tenant_ids")
    if not isinstance(tenants, list):
        return dict(data)
    return data | {"tenant_ids": list(erasures.names(tuple(tenants)))}
