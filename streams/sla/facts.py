"""Decoded records to typed events: the checks that one input can be given alone (R16, R17, R28), and its digest (R1).

Codes: `oversize` for texts and lists over their limits (records over theirs are refused by the codec), `four_eyes`
(R17), `cycle` (R16), `unknown_type` for what is no input, `invalid` for the rest. New symbols of an enumeration read as
`unknown`: accepted in `impact` and `channel`, which then match no rule, refused elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from hashlib import blake2b
from operator import itemgetter
from typing import Any

from streams.sla.events import Event, Rejection
from streams.sla.limits import InvalidInputError, check_id, check_instant
from streams.sla.new_input import check_new_input, checked_fields
from streams.sla.payloads import BUILDERS, Fields

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")

#: Event type → the fields that say what the event says: what the digest is over. New ones are appended, never inserted.
_CONTENT: dict[str, tuple[str, ...]] = {
    "incident.opened": (
        "scope",
        "tenant_ids",
        "component",
        "impact",
        "tier",
        "channel",
        "summary",
        "started_at",
        "ticket_id",
        "language",
    ),
    "incident.responded": ("who",),
    "incident.updated": ("who", "visibility", "text"),
    "incident.update_requested": ("who",),
    "incident.reclassified": ("component", "impact", "tier", "scope", "tenant_ids", "who"),
    "incident.severity_set": ("severity", "who", "reason"),
    "incident.waiting": ("on", "who"),
    "incident.waiting_ended": ("on", "who"),
    "incident.resolved": ("restored_at", "who"),
    "incident.reopened": ("reason", "started_at", "who"),
    "incident.linked": ("ticket_id", "phone_call_id", "who"),
    "incident.merged": ("into", "who"),
    "incident.amended": ("started_at", "restored_at", "counts_as_downtime", "who", "approver", "reason"),
    "incident.policy_applied": ("policy", "version", "who", "approver", "reason"),
    "incident.annulled": ("who", "approver", "reason"),
    "maintenance.scheduled": (
        "maintenance_id",
        "scope",
        "tenant_ids",
        "components",
        "start",
        "end",
        "announced_at",
        "who",
    ),
    "maintenance.cancelled": ("maintenance_id", "who"),
    "contract.set": (
        "tenant_id",
        "valid_from",
        "valid_to",
        "plan",
        "monthly_charge",
        "tier",
        "time_zone",
        "emergency_member",
        "who",
    ),
    "credit.claimed": ("tenant_id", "month", "who"),
    "tenant.erased": ("tenant_id", "who", "reason"),
}
_READ: dict[str, Callable[[Fields], tuple[Any, ...]]] = {
    event_type: itemgetter("subject", "occurred_at", *names) for event_type, names in _CONTENT.items()
}
_CHECKED = {event_type: checked_fields(names) for event_type, names in _CONTENT.items()}
#: What nested records say. Event type → where one stands in the content, and its two fields.
_PARTS = {"who": ("kind", "id"), "approver": ("kind", "id"), "monthly_charge": ("amount_minor", "currency")}
_NESTED = {
    event_type: [(place, *_PARTS[name]) for place, name in enumerate(names, start=3) if name in _PARTS]
    for event_type, names in _CONTENT.items()
}


@lru_cache(maxsize=4096)
def _check_source(source: str) -> str:
    """Cached, because few sources send all events."""
    return check_id(source, "source")


def to_event(event_type: str, record: Mapping[str, object]) -> Event | Rejection:
    """The typed event of a new input, decoded by the codec or from JSON; or why it is rejected."""
    return _event(event_type, record, new=True)


def stored_event(event_type: str, record: Mapping[str, object], known_digest: bytes = b"") -> Event | Rejection:
    """The typed event of a record that was accepted before, maybe by a release with fewer checks; a Rejection when it
    can't be read. `known_digest` is its digest where that was stored."""
    return _event(event_type, record, known_digest, new=False)


def _event(event_type: str, record: Mapping[str, object], known_digest: bytes = b"", *, new: bool) -> Event | Rejection:
    fields: Fields = record
    build = BUILDERS.get(event_type)
    if build is None:
        return Rejection("unknown_type", f"{event_type} is not an input event", fields.get("event_id"))
    event_id, source, subject, time = fields["event_id"], fields["source"], fields["subject"], fields["occurred_at"]
    try:
        check_id(event_id, "event_id")
        _check_source(source)
        check_id(subject, "subject")
        check_instant(time, "time")
        received = fields["received_time"]
        if received is not None:
            check_instant(received, "receivedtime")
        payload = build(fields)
        if new and (names := _CHECKED[event_type]):
            check_new_input(fields, names)
    except InvalidInputError as error:
        return Rejection(error.code, str(error), event_id)
    trace = fields["traceparent"]
    if trace is not None and not _TRACEPARENT.fullmatch(trace):
        trace = None  # W3C: a malformed trace context is as none
    return Event(
        event_id,
        source,
        event_type,
        subject,
        time,
        payload,
        fields["backfill"],
        received,
        trace,
        known_digest or digest(event_type, fields),
    )


def digest(event_type: str, record: Mapping[str, object]) -> bytes:
    """8 bytes over what the event says, texts included, transport aside: equal in every framing and any key order.

    Absent fields at the end don't count, so an optional field that a later schema appends leaves it as it is. The text
    form is Python's ascii(), whose escapes don't depend on the release's Unicode tables.
    """
    fields: Fields = record
    content: list[Any] = [event_type, *_READ[event_type](fields)]
    for place, first, second in _NESTED[event_type]:
        if isinstance(value := content[place], dict):
            content[place] = value[first], value[second]
    while content[-1] is None or content[-1] == []:
        content.pop()
    return blake2b(ascii(content).encode(), digest_size=8).digest()
