"""The events that topics hold now, by arrival."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from cli.events.record_view import Undecodable, event_of
from cli.kafka_io.disk_sort import Row, sorted_on_disk
from connect.kafka_io.reader import TopicRecord, in_order
from streams.serde.cloudevents_json import format_line
from streams.serde.codec import Decode


def sorted_events(batches: Iterable[list[TopicRecord]], decode: Decode) -> Iterator[tuple[bytes | None, str | None]]:
    """Each record as one line of JSON, or why it can't be decoded. Raises NoRoom where they don't fit the disk."""
    return sorted_on_disk(_row(record, decode) for records in batches for record in records)


def _row(record: TopicRecord, decode: Decode) -> Row:
    try:
        return Row(*in_order(record), format_line(event_of(record, decode)).encode())
    except Undecodable as problem:
        return Row(*in_order(record), None, str(problem).encode(errors="backslashreplace").decode())
