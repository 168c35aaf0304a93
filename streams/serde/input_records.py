"""Prepares input events as records of the input topics, with every check that needs one event alone.

The client, the intake and `sla publish` all prepare their records here, so that they accept and refuse the same.
"""

from __future__ import annotations

from typing import NamedTuple

from streams.serde.cloudevents_headers import headers_for
from streams.serde.cloudevents_json import from_json, json_of
from streams.serde.codec import MAX_RECORD_BYTES, Fields, encode
from streams.serde.input_checks import printable, unknown_field
from streams.sla.events import INCIDENT_RANK, Event, Rejection
from streams.sla.facts import to_event
from streams.sla.instants import format_rfc3339

#: The input topics, without the prefix of the deployment.
INCIDENT_EVENTS = "incident-events"
CONTRACT_EVENTS = "contract-events"


class InputRecord(NamedTuple):
    """A checked event and its record; `topic` without prefix, `value` in single-object encoding."""

    topic: str
    event: Event
    value: bytes
    headers: list[tuple[str, bytes]]

    @property
    def subject(self) -> str:
        """The key of the record: an incident, a tenant or a maintenance window."""
        return self.event.subject


def input_record_from_line(line: str, *, backfill: bool = False) -> InputRecord | Rejection:
    """The record of one JSON line. `backfill` marks the event as history being loaded (R5)."""
    event = json_of(line)
    if isinstance(event, Rejection):
        return event
    return input_record_from_json({**event, "backfill": True} if backfill and isinstance(event, dict) else event)


def input_record_from_json(event: object) -> InputRecord | Rejection:
    """The record of an event in the JSON form, a CloudEvents structured-mode object."""
    parsed = from_json(event, inputs_only=True)
    if isinstance(parsed, Rejection):
        return parsed
    if isinstance(event, dict) and (refused := unknown_field(event)) is not None:
        return refused
    return input_record(*parsed)


def input_record(event_type: str, fields: Fields) -> InputRecord | Rejection:
    """The record of an event of this type and these Avro fields, or why the product would reject it (R27)."""
    fields = printable(fields)
    event = to_event(event_type, fields)
    if isinstance(event, Rejection):
        return event
    value = encode(event_type, fields)
    if len(value) > MAX_RECORD_BYTES:
        message = f"the record has {len(value):,} bytes; at most {MAX_RECORD_BYTES:,} are allowed"
        return Rejection("oversize", message, event.id)
    headers = headers_for(
        event.type,
        event.id,
        event.source,
        event.subject,
        event.time,
        traceparent=event.traceparent,
        backfill=event.backfill,
    )
    if event.received is not None:
        headers.append(("ce_receivedtime", format_rfc3339(event.received).encode()))
    return InputRecord(INCIDENT_EVENTS if event_type in INCIDENT_RANK else CONTRACT_EVENTS, event, value, headers)
