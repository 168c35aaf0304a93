"""Internal topics: copies that other partitions need, and records forwarded to their own partition.

Each agent reads one of its own, and deletes what it has applied. Versions before wrote to one topic for both, `LEGACY`;
what is left there is still read.
"""

from __future__ import annotations

from typing import NamedTuple

from streams.kafka.header_numbers import MAX_OFFSET, MAX_PARTITION, header_number
from streams.kafka.records import RawRecord
from streams.runtime.processor import Record, Send
from streams.sla.instants import LATEST

#: The topic of versions before, without its prefix.
LEGACY = "shared"

#: The agent that reads a record.
TO_INCIDENTS = b"incidents"
TO_LEDGER = b"ledger"

_ROUTE = "sla_route"
_KIND = "sla_kind"
_TOPIC = "sla_origin_topic"
_PARTITION = "sla_origin_partition"
_OFFSET = "sla_origin_offset"
_ARRIVAL = "sla_origin_arrival"
_OURS = (_ROUTE, _KIND, _TOPIC, _PARTITION, _OFFSET, _ARRIVAL)
#: The envelope is that many headers; those of the original follow.
ENVELOPE_HEADERS = len(_OURS)

FORWARDED = b"forwarded"
COPY = b"copy"
_ROUTES, _KINDS = (TO_INCIDENTS, TO_LEDGER), (FORWARDED, COPY)


def internal_topic(agent: str) -> str:
    """The topic that an agent alone reads, without its prefix."""
    return f"{agent}-internal"


class Routed(NamedTuple):
    """A record of an internal topic, taken out of its envelope: `record` has the original's coordinates and arrival."""

    route: bytes
    forwarded: bool
    record: Record


def is_wrapped(record: RawRecord) -> bool:
    """Whether a record has the envelope of `wrap`, as all that agents write to internal topics has."""
    headers = record.headers[: len(_OURS)]
    if tuple(name for name, _ in headers) != _OURS:
        return False
    return headers[0][1] in _ROUTES and headers[1][1] in _KINDS


def wrap(record: Record, route: bytes, kind: bytes, topic: str, partition: int) -> Send:
    """Send an input, or what follows from it, to a partition of an internal topic; it keeps its coordinates and the
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


def with_arrival(record: Record, arrival: int) -> Record:
    """A record that `wrap` made, with another arrival in its envelope."""
    headers = list(record.headers)
    headers[ENVELOPE_HEADERS - 1] = (_ARRIVAL, b"%d" % arrival)
    return record._replace(headers=headers)


def unwrap(record: Record) -> Routed | None:
    """Undo `wrap`; None for a record that was not written by it.

    The envelope is the first headers, in their order; what follows is the original's, even where names repeat.
    """
    headers = record.headers
    if len(headers) < len(_OURS):
        return None
    (a, route), (b, kind), (c, topic), (d, partition), (e, offset), (f, arrival) = headers[: len(_OURS)]
    if (a, b, c, d, e, f) != _OURS or None in (topic, partition, offset, arrival):
        return None
    if route not in _ROUTES or kind not in _KINDS:
        return None
    try:
        original = Record(
            topic.decode(),
            header_number(partition, 0, MAX_PARTITION),
            header_number(offset, 0, MAX_OFFSET),
            header_number(arrival, 0, LATEST),
            record.key,
            record.value,
            headers[len(_OURS) :],
        )
    except ValueError:
        return None
    return Routed(route, kind == FORWARDED, original)
