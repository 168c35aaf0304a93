"""CloudEvents 1.0 headers of a record: Kafka protocol binding, binary mode."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from streams.sla.instants import format_rfc3339, parse_rfc3339

_SPEC_VERSION = ("ce_specversion", b"1.0")
_CONTENT_TYPE = ("content-type", b"application/avro")
#: The extension of an alert whose incident had ended before the alert was published: when it ended, as RFC 3339.
INCIDENT_ENDED = "incidentended"
_INCIDENT_ENDED_HEADER = f"ce_{INCIDENT_ENDED}"


def headers_for(
    event_type: str,
    event_id: str,
    source: str,
    subject: str,
    time: int,
    *,
    traceparent: str | None = None,
    backfill: bool = False,
    incident_ended: int | None = None,
) -> list[tuple[str, bytes]]:
    """The headers of one event; `time` and `incident_ended` in microseconds UTC. The value is authoritative, these are
    for generic tools, except `ce_incidentended`, which no value has."""
    named_type, named_source = _constants(event_type, source)
    headers = [
        _SPEC_VERSION,
        ("ce_id", event_id.encode()),
        named_type,
        named_source,
        ("ce_time", _time(time)),
        ("ce_subject", subject.encode()),
        _CONTENT_TYPE,
    ]
    if backfill:
        headers.append(("ce_backfill", b"true"))
    if incident_ended is not None:
        headers.append((_INCIDENT_ENDED_HEADER, _time(incident_ended)))
    if traceparent is not None:
        headers.append(("traceparent", traceparent.encode()))
    return headers


def extensions_of(headers: Iterable[tuple[str, bytes | None]]) -> dict[str, str]:
    """The extension attributes that an event has in its headers only, as its JSON form has them: `incidentended`."""
    for name, value in headers:
        if name == _INCIDENT_ENDED_HEADER:
            try:
                return {INCIDENT_ENDED: format_rfc3339(parse_rfc3339((value or b"").decode()))}
            except (ValueError, OverflowError):  # another program wrote it
                return {}
    return {}


@lru_cache(maxsize=1024)
def _constants(event_type: str, source: str) -> tuple[tuple[str, bytes], tuple[str, bytes]]:
    return ("ce_type", event_type.encode()), ("ce_source", source.encode())


@lru_cache(maxsize=4096)
def _time(time: int) -> bytes:
    """Cached, because the outputs of one input have the same time."""
    return format_rfc3339(time).encode()
