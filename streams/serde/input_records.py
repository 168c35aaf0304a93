"""Input events as records of the input topics, with every check that one event can be given alone."""

from __future__ import annotations

from typing import NamedTuple

from streams.serde.cloudevents_headers import headers_for
from streams.serde.codec import MAX_RECORD_BYTES, Fields, encode
from streams.sla.events import INCIDENT_RANK, Event, Rejection
from streams.sla.facts import to_event
from streams.sla.instants import format_rfc3339

INCIDENT_TOPIC = "incident-events"
CONTRACT_TOPIC = "contract-events"


class InputRecord(NamedTuple):
    """A checked event as it goes to Kafka, under its subject as the key; `topic` without prefix."""

    topic: str
    event: Event
    value: bytes
    headers: list[tuple[str, bytes]]


def input_record(event_type: str, fields: Fields) -> InputRecord | Rejection:
    """The record of an event (as json_form gives it), or why the product would reject it (R27)."""
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
    return InputRecord(INCIDENT_TOPIC if event_type in INCIDENT_RANK else CONTRACT_TOPIC, event, value, headers)
