"""Rejected records as commands print them (R27)."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator

from cli.events.record_view import key_text
from cli.support.console import safe
from connect.kafka_io.rejected_records import RejectedRecord
from streams.hex_dump import hex_dump
from streams.runtime.dead_letter import original_size
from streams.serde.cloudevents_json import format_line, to_json
from streams.sla.instants import format_rfc3339

_DUMP_BYTES = 256


def as_object(entry: RejectedRecord) -> dict[str, object]:
    """A rejected record for programs."""
    return {
        "number": entry.number,
        "time": format_rfc3339(entry.record.arrival),
        "code": entry.rejected.code,
        "message": entry.rejected.message,
        "topic": entry.rejected.topic,
        "partition": entry.rejected.partition,
        "offset": entry.rejected.offset,
        "arrived": format_rfc3339(entry.rejected.arrived),
        "attempts": entry.rejected.attempts,
        "key": None if entry.record.key is None else key_text(entry.record),
        "id": entry.event_id,
    }


def in_full(entry: RejectedRecord) -> dict[str, object]:
    """A rejected record in full, for programs: `event` is its value in the JSON form, null where that can't be read as
    an input; `value_base64` is the value as it is, null where it was not kept."""
    value, decoded = entry.record.value, entry.decoded
    readable = decoded is not None and not decoded[0].startswith("state.")
    return {
        **as_object(entry),
        "headers": [{"name": name, "value": text.decode(errors="replace")} for name, text in entry.record.headers],
        "event": to_json(*decoded) if decoded is not None and readable else None,
        "value_base64": None if value is None else b64encode(value).decode(),
    }


def described(entry: RejectedRecord) -> Iterator[str]:
    """A rejected record in full, line by line."""
    for name, value in as_object(entry).items():
        yield f"{name + ':':<11}{'-' if value is None else safe(value)}"
    yield "headers:"
    for name, text in entry.record.headers:
        yield f"  {safe(name)}: {safe(text.decode(errors='replace'))}"
    value, decoded = entry.record.value, entry.decoded
    if decoded is not None and not decoded[0].startswith("state."):
        yield "value:"
        yield f"  {format_line(to_json(*decoded))}"
    elif value is None:
        size = original_size(entry.record.headers)
        yield (
            "value: none"
            if size is None
            else (f"value: not kept, the original has {size:,} bytes; read it at {entry.original}")
        )
    else:
        yield f"value: {len(value):,} bytes, the first {min(len(value), _DUMP_BYTES)} of them:"
        yield from (f"  {row}" for row in hex_dump(value[:_DUMP_BYTES]))
