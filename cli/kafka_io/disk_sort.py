"""Rows sorted on disk, as what topics hold may be larger than the memory."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import NamedTuple

from streams.errors import SlaError

_LARGEST = 2**63 - 1


class NoRoom(SlaError):  # noqa: N818 -- it names what happened
    """The rows don't fit the disk."""


class Row(NamedTuple):
    """A record's place in the order across partitions (`connect.kafka_io.reader.in_order`), and its line, or what is
    wrong with it."""

    arrival: int
    topic: str
    partition: int
    offset: int
    line: bytes | None
    problem: str | None = None


def sorted_on_disk(rows: Iterable[Row]) -> Iterator[tuple[bytes | None, str | None]]:
    """Line and problem of each row, by arrival, then coordinates, in constant memory. Raises NoRoom."""
    try:
        with closing(sqlite3.connect("")) as database:  # in a file of its own, which is never seen
            database.execute("PRAGMA journal_mode = OFF")
            columns = "arrival INTEGER, topic TEXT, part INTEGER, place INTEGER, line BLOB, problem TEXT"
            database.execute(f"CREATE TABLE rows ({columns})")
            database.executemany("INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?)", map(_stored, rows))
            yield from database.execute("SELECT line, problem FROM rows ORDER BY arrival, topic, part, place")
    except sqlite3.OperationalError as error:
        raise NoRoom(f"events can't be sorted on disk: {error}; TMPDIR names the directory for it") from error


def _stored(row: Row) -> Row:
    """Others may write any timestamp; SQLite has 64 bits."""
    if -_LARGEST <= row.arrival <= _LARGEST:
        return row
    return row._replace(arrival=_LARGEST if row.arrival > 0 else -_LARGEST)
