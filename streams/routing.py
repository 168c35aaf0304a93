"""The internal shared topic: copies that other partitions need, and records forwarded to their own partition."""

from __future__ import annotations

from typing import NamedTuple

from streams.runtime.processor import Record, Send

#: Who is to read a record of the shared topic.
TO_INCIDENTS = b"incidents"
TO_LEDGER = b"ledger"

_ROUTE = "sla_route"
_KIND = "sla_kind"
_TOPIC = "sla_origin_topic"
_PARTITION = "sla_origin_partition"
_OFFSET = "sla_origin_offset"
_ARRIVAL = "sla_origin_arrival"
_OURS = (_ROUTE, _KIND, _TOPIC, _PARTITION, _OFFSET, _ARRIVAL)

FORWARDED = b"forwarded"
COPY = b"copy"


class Routed(NamedTuple):
    """A record of the shared topic, taken out of its envelope: `record` has the original's coordinates and arrival."""

    route: bytes
    forwarded: bool
    record: Record


def enclose(record: Record, route: bytes, kind: bytes, topic: str, partition: int) -> Send:
    """Send an input, or what follows from it, to a partition of the shared topic; it keeps its coordinates and the
    arrival that caused it (R32)."""
    headers = [
        (_ROUTE, route),
        (_KIND, kind),
        (_TOPIC, record.topic.encode()),
        (_PARTITION, b"%d" % record.partition),
        (_OFFSET, b"%d" % record.offset),
        (_ARRIVAL, b"%d" % record.arrival),
        *record.headers,
    ]
    return Send(topic, partition, record.key, record.value, headers)


def disclose(record: Record) -> Routed | None:
    """Undo `enclose`; None for a record that was not written by it.

    The envelope is the first headers, in their order; what follows is the original's, even where names repeat.
    """
    envelope, headers = record.headers[: len(_OURS)], record.headers[len(_OURS) :]
    if tuple(name for name, _ in envelope) != _OURS or any(value is None for _, value in envelope):
        return None
    route, kind, topic, partition, offset, arrival = (value for _, value in envelope)
    if route not in {TO_INCIDENTS, TO_LEDGER} or kind not in {FORWARDED, COPY}:
        return None
    try:
        original = Record(topic.decode(), int(partition), int(offset), int(arrival), record.key, record.value, headers)
    except ValueError:
        return None
    return Routed(route, kind == FORWARDED, original)
