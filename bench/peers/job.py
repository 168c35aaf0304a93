"""The small job that every contender does: decode an event, classify, set a deadline, encode state and output.

The Python contenders run this very module, those in environments of their own included: it needs fastavro, the schemas
and the product's compiled readers and writers, which need nothing else.
`IncidentStreams.java` says the same in Java; the bytes of the outputs are compared.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple, cast

from schemas import registry
from streams.serde.compiled_reader import ReadRecord, reader_of
from streams.serde.compiled_writer import WriteRecord, writer_of

_HEAD = 10  # single-object encoding: two bytes of mark, eight of fingerprint
_MARKER = b"\xc3\x01"
_MINUTE = 60_000_000
_RESPONSE = {"P1": 15 * _MINUTE, "P2": 60 * _MINUTE, "P3": 240 * _MINUTE, "P4": 1440 * _MINUTE}
_UPDATE = {"P1": 30 * _MINUTE, "P2": 120 * _MINUTE, "P3": 480 * _MINUTE, "P4": 2880 * _MINUTE}

_READERS = {
    _MARKER + fingerprint: (schema.name, reader_of(fingerprint, schema.parsed))
    for fingerprint, schema in registry.load().by_fingerprint.items()
}


def _own(name: str) -> tuple[bytes, WriteRecord, ReadRecord]:
    definition = json.loads(Path(__file__).with_name(name).read_text("utf-8"))
    fingerprint, parsed = registry.fingerprint(definition), registry.parse(definition)
    write, read = writer_of(fingerprint, parsed), reader_of(fingerprint, parsed)
    assert write is not None
    assert read is not None
    return _MARKER + fingerprint, write, read


_DECIDED_HEAD, _write_decided, _ = _own("decided.avsc")
_STATE_HEAD, _write_state, _read_state = _own("state.avsc")


class Incident(NamedTuple):
    """What is kept of an incident. Instants are microseconds since the epoch."""

    severity: str
    status: str
    opened_at: int
    deadline: int | None
    events: int


def decode(value: bytes) -> tuple[str, dict[str, Any]]:
    """Event type and record of a value in single-object encoding."""
    name, read = _READERS[value[:_HEAD]]
    assert read is not None
    return name, read(value, _HEAD)[0]


def classify(event: dict[str, Any]) -> str:
    """The severity of an incident as it was opened: its impact, one step higher for the highest tier."""
    impact = event["impact"]
    first = event["tier"] == 1 or event["scope"] == "platform"
    if impact == "complete_outage":
        return "P1"
    if impact == "critical_performance":
        return "P1" if first else "P2"
    if impact == "material_aspect":
        return "P2" if first else "P3"
    if impact == "processing_delay":
        return "P3"
    return "P4"


def decide(before: Incident | None, kind: str, event: dict[str, Any]) -> Incident:
    """The incident after one event."""
    at = event["occurred_at"]
    if kind == "incident.opened":
        severity = classify(event)
        return Incident(severity, "open", at, at + _RESPONSE[severity], 1)
    severity, status, opened_at, deadline, events = before or ("P4", "open", at, None, 0)
    if kind == "incident.resolved":
        status, deadline = "resolved", None
    elif kind in ("incident.responded", "incident.updated"):
        status, deadline = "answered", at + _UPDATE[severity]
    return Incident(severity, status, opened_at, deadline, events + 1)


def encode_decision(event: dict[str, Any], after: Incident) -> bytes:
    """The output record, in single-object encoding."""
    decided = {
        "event_id": event["event_id"],
        "incident_id": event["subject"],
        "decided_at": event["occurred_at"],
        "severity": after.severity,
        "status": after.status,
        "deadline": after.deadline,
        "events": after.events,
    }
    return _write_decided(_DECIDED_HEAD, decided)


def encode_state(incident: Incident) -> bytes:
    """The value of a changelog row."""
    severity, status, opened_at, deadline, events = incident
    state = {"severity": severity, "status": status, "opened_at": opened_at, "deadline": deadline, "events": events}
    return _write_state(b"", state)


def decode_state(value: bytes) -> Incident:
    """The incident of a changelog row."""
    return Incident(**cast(dict[str, Any], _read_state(value, 0)[0]))
