"""The headers of events and of rejects, as the AsyncAPI document describes them."""

from __future__ import annotations

from typing import Any, Final, cast

from streams.runtime import dead_letter
from streams.serde.codec import Fields, headers_for
from streams.serde.json_values import instant_to_json
from streams.sla.events import REJECT_CODES

#: Of events, by name.
EVENT_HEADERS: Final[dict[str, dict[str, Any]]] = {
    "ce_specversion": {"type": "string", "const": "1.0", "description": "Version of CloudEvents."},
    "ce_id": {"type": "string", "minLength": 1, "description": "`event_id` of the value."},
    "ce_type": {"type": "string", "description": "The event type."},
    "ce_source": {"type": "string", "minLength": 1, "description": "`source` of the value."},
    "ce_time": {
        "type": "string",
        "format": "date-time",
        "description": "`occurred_at` of the value as RFC 3339, UTC.",
    },
    "ce_subject": {"type": "string", "minLength": 1, "description": "`subject` of the value: the key."},
    "content-type": {"type": "string", "const": "application/avro", "description": "Media type of the value."},
    "ce_backfill": {"type": "string", "const": "true", "description": "Present where `backfill` of the value is true."},
    "ce_incidentended": {
        "type": "string",
        "format": "date-time",
        "description": "Of an alert that was published only after its incident had ended: when that was, as RFC 3339, "
        "UTC. The value does not have it.",
    },
    "ce_receivedtime": {
        "type": "string",
        "format": "date-time",
        "description": "`received_time` of an input as RFC 3339, UTC, if given.",
    },
    "traceparent": {"type": "string", "description": "W3C trace context, if known."},
}
#: Those that every output has.
ALWAYS: Final = ("ce_specversion", "ce_id", "ce_type", "ce_source", "ce_time", "ce_subject", "content-type")
_NUMBER = {"type": "string", "pattern": "^-?[0-9]+$"}
#: Those that every reject has.
REJECT_HEADERS: Final[dict[str, dict[str, Any]]] = {
    dead_letter.CODE: {"type": "string", "enum": list(REJECT_CODES), "description": "Why, as a code of a closed list."},
    dead_letter.MESSAGE: {"type": "string", "description": "Why, as a sentence for people."},
    dead_letter.TOPIC: {
        "type": "string",
        "description": "Topic of the original; `intake/…` for the body of a request.",
    },
    dead_letter.PARTITION: {**_NUMBER, "description": "Its partition."},
    dead_letter.OFFSET: {**_NUMBER, "description": "Its offset."},
    dead_letter.TIMESTAMP: {**_NUMBER, "description": "When it arrived, milliseconds since the epoch."},
    dead_letter.ATTEMPTS: {**_NUMBER, "description": "How often it was tried."},
}
#: Those of rejects that do not hold the original.
OMITTED_HEADERS: Final[dict[str, dict[str, Any]]] = {
    dead_letter.SIZE: {**_NUMBER, "description": "Only if the original was too large to store: its size in bytes."},
    dead_letter.SHA256: {
        "type": "string",
        "description": "Only if the original was too large to store: its SHA-256 in hex.",
    },
    dead_letter.FIRST_OFFSET: {
        **_NUMBER,
        "description": "Only for a record batch that was too large to read: its first offset; the other is its last.",
    },
}


def example_headers(event_type: str, record: Fields) -> dict[str, str]:
    """The headers that a record of an event type is sent with."""
    headers = headers_for(
        event_type,
        cast(str, record["event_id"]),
        cast(str, record["source"]),
        cast(str, record["subject"]),
        cast(int, record["occurred_at"]),
        traceparent=cast(str | None, record["traceparent"]),
        backfill=cast(bool, record["backfill"]),
    )
    shown = {name: value.decode() for name, value in headers}
    if record.get("received_time") is not None:
        shown["ce_receivedtime"] = str(instant_to_json(cast(int, record["received_time"])))
    return shown
