"""The events that topics hold now, by arrival: sorted in a temporary file, as a topic may be larger than the memory."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import NamedTuple

from cli.events.record_view import Undecodable, event_of
from cli.kafka_io.topic_history import NoRoom
from connect.kafka_io.reader import TopicRecord, in_order
from streams.serde.cloudevents_json import format_line
from streams.serde.codec import Decode

_LARGEST = 2**63 - 1


class SortedEvent(NamedTuple):
    """A record as one line of JSON, or why it can't be decoded."""

    line: str | None
    problem: str | None


def sorted_events(batches: Iterable[list[TopicRecord]], decode: Decode) -> Iterator[SortedEvent]:
    """All of them by arrival, then coordinates. Raises NoRoom where they don't fit the disk."""
    try:
        with closing(sqlite3.connect("")) as database:  # in a file of its own, which is never seen
            database.execute("PRAGMA journal_mode = OFF")
            columns = "arrival INTEGER, topic TEXT, part INTEGER, place INTEGER, line TEXT, problem TEXT"
            database.execute(f"CREATE TABLE events ({columns})")
            for records in batches:
                rows = [(*_order(record), *_rendered(record, decode)) for record in records]
                database.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?)", rows)
            found = database.execute("SELECT line, problem FROM events ORDER BY arrival, topic, part, place")
            yield from map(SortedEvent._make, found)
    except sqlite3.OperationalError as error:
        raise NoRoom(f"events can't be sorted on disk: {error}; TMPDIR names the directory for it") from error


def _order(record: TopicRecord) -> tuple[int, str, int, int]:
    """Others may write any timestamp; SQLite has 64 bits."""
    return in_order(record._replace(arrival=min(max(record.arrival, -_LARGEST), _LARGEST)))


def _rendered(record: TopicRecord, decode: Decode) -> SortedEvent:
    try:
        return SortedEvent(format_line(event_of(record, decode)), None)
    except Undecodable as problem:
        return SortedEvent(None, str(problem).encode(errors="backslashreplace").decode())
