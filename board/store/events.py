"""The JSON form of events: into the `data` columns, and whole again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

from streams.replay.history import LOADED
from streams.serde.cloudevents_json import data_to_json, format_line
from streams.serde.input_records import CONTRACT_EVENTS, INCIDENT_EVENTS
from streams.sla.instants import format_rfc3339

_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def data_text(event_type: str, record: Mapping[str, object]) -> str:
    """The `data` object of an event's JSON form as text, from its Avro record."""
    return json_text(data_to_json(event_type, record))


def json_text(value: object) -> str:
    """Compact JSON, keys in their order, numbers exact. Without NUL, which PostgreSQL does not store: JSON escapes
    it."""
    try:
        return _ENCODER.encode(value)
    except TypeError:  # a duration of more than 31 years with a fraction of a second
        return format_line(value)


def cloud_event(row: Mapping[str, Any], event_type: str | None = None) -> dict[str, object]:
    """The CloudEvents object of a row of `entry`, as `sla tail --json` prints it (R30): a backfilled input has its own
    `receivedtime`, or none (R32), and when it was loaded as `loadedtime`."""
    own_arrival = row["backfill"] and row["topic"] in {CONTRACT_EVENTS, INCIDENT_EVENTS}
    received = row["received_at"] if own_arrival else row["arrived_at"]
    event: dict[str, object] = {
        "specversion": "1.0",
        "id": row["event_id"],
        "type": event_type or row["type"],
        "source": row["source"],
        "subject": row["subject"],
        "time": format_rfc3339(cast(int, row["occurred_at"])),
    }
    if received is not None:
        event["receivedtime"] = format_rfc3339(received)
    if row["backfill"]:
        event["backfill"] = True
    if own_arrival:
        event[LOADED] = format_rfc3339(row["arrived_at"])
    return event | {"data": json.loads(row["data"])}
