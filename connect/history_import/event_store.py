"""Events on disk, each once, read back in the order of their times: files of any size need little memory."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import NamedTuple, Self

from connect.intake.outcome import Event
from streams.errors import SlaError
from streams.serde.cloudevents_json import format_line
from streams.serde.input_records import InputRecord
from streams.sla.events import INCIDENT_RANK

#: A temporary database: SQLite keeps what does not fit its cache in a file that nobody else sees.
_TEMPORARY = ""
_CACHE_KIB = 32 * 1024
_TABLE = """
CREATE TABLE events (
  id TEXT NOT NULL, source TEXT NOT NULL, time INTEGER NOT NULL, subject TEXT NOT NULL, rank INTEGER NOT NULL,
  digest BLOB NOT NULL, place TEXT NOT NULL, line TEXT NOT NULL, UNIQUE (id, source)
)
"""


class KnownRow(NamedTuple):
    """A row that said the same."""

    place: str


class EventsNotStored(SlaError):  # noqa: N818 -- it names what happened
    """The folder for temporary files can't hold the events."""


class EventStore:
    """The events of an import. Use it with `with`. Its methods raise EventsNotStored where the disk is full."""

    def __init__(self) -> None:
        self._database = sqlite3.connect(_TEMPORARY, isolation_level=None)
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute("PRAGMA synchronous = OFF")
        self._database.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        self._database.execute(_TABLE)
        self._database.execute("BEGIN")
        self.count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    def known(self, events: Sequence[tuple[Event, InputRecord]]) -> KnownRow | str | None:
        """The earlier row that has all of these events; what is wrong where it has one of them with other content
        (R1); None where an event is new."""
        places = []
        for _, record in events:
            identity = (record.event.id, record.event.source)
            with _explained():
                found = self._database.execute(
                    "SELECT place, digest FROM events WHERE id = ? AND source = ?", identity
                ).fetchone()
            if found is None:
                continue
            place, digest = found
            if digest != record.event.digest:
                return f"{place} is about {record.subject} too, with other values; remove one of them"
            places.append(place)
        return KnownRow(places[0]) if len(places) == len(events) else None

    def add(self, place: str, events: Sequence[tuple[Event, InputRecord]]) -> None:
        """Store the events of a row that are not stored yet."""
        for event, record in events:
            it = record.event
            rank = INCIDENT_RANK.get(it.type, -1)
            row = (it.id, it.source, it.time, it.subject, rank, it.digest, place, format_line(event))
            with _explained():
                added = self._database.execute("INSERT OR IGNORE INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
            self.count += added.rowcount

    def lines(self) -> Iterator[str]:
        """The events as lines of JSON, in the order of their times; equal ones by subject, then as R2 orders them."""
        with _explained():
            for (line,) in self._database.execute("SELECT line FROM events ORDER BY time, subject, rank, id"):
                yield line


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        raise EventsNotStored(
            f"the folder for temporary files can't hold the events: {error}; "
            "make room there, or name another folder: SQLITE_TMPDIR=/large/folder sla import …"
        ) from error
