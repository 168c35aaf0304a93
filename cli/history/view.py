"""What an import makes of each row, for people and for programs, and the file of events."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cli.support.console import print_rows, safe
from cli.support.whole_file import whole_file
from streams.sla.instants import format_rfc3339

if TYPE_CHECKING:
    from connect.history_import.event_store import EventStore
    from connect.history_import.rows import ImportedRow

STANDARD_OUTPUT = "-"
_LONGEST_KEY = 40
_LONGEST_DAYS = 31


class RowsShown:
    """Shows rows: a table of the first ones, every wrong one on standard error, and counts at the end."""

    def __init__(self, file: str, *, limit: int, as_json: bool, table: bool) -> None:
        self.file = safe(file)
        self.counts: Counter[str] = Counter()
        self._limit = limit
        self._as_json = as_json
        self._table = table
        self._rows: list[tuple[str, str, str, str]] = []
        self._left_out = 0

    def add(self, row: ImportedRow) -> None:
        """Count a row and show what is wrong with it."""
        self.counts[row.outcome] += 1
        for problem in row.problems:
            typer.echo(f"{self.file}:{row.place.removeprefix('line ')}: {safe(problem)}", err=True)
        if self._as_json:
            typer.echo(json.dumps(_fields(self.file, row), ensure_ascii=False))
        elif self._table:
            if len(self._rows) < self._limit:
                self._rows.append(_cells(row))
            else:
                self._left_out += 1

    def finish(self) -> None:
        """Print the table and the counts."""
        if self._rows:
            print_rows(("ROW", "KEY", "BECOMES", "LOOK AT"), self._rows)
        if self._left_out:
            typer.echo(f"{self._left_out:,} more rows; --rows N shows more of them", err=True)

    def summary(self, events: int) -> str:
        """One line."""
        total = sum(self.counts.values())
        parts = [f"{self.counts[kind]:,} {kind}" for kind in ("ignored", "repeated", "wrong") if self.counts[kind]]
        good = self.counts["events"]
        rest = f"; {', '.join(parts)}" if parts else ""
        became = f"{good:,} became {events:,} event{'' if events == 1 else 's'}" if good else "none became an event"
        return f"{self.file}: {total:,} row{'' if total == 1 else 's'}, {became}{rest}"


class LongRows:
    """Rows that last longer than an outage or maintenance does, as with a wrong year, which costs credits."""

    def __init__(self) -> None:
        self._count = 0
        self._first = ""

    def add(self, file: str, row: ImportedRow) -> None:
        """Count a row that lasts too long."""
        if row.outcome == "events" and row.days > _LONGEST_DAYS:
            self._count += 1
            self._first = self._first or f"{safe(file)}, {row.place} ({row.days:,} days)"

    def warnings(self) -> Iterator[str]:
        """How many there are, and the first."""
        if self._count:
            rows = "1 row lasts" if self._count == 1 else f"{self._count:,} rows last"
            yield f"{rows} more than {_LONGEST_DAYS} days, the first is {self._first}: are the years right?"


def write_events(store: EventStore, output: str) -> None:
    """To standard output, or to a file that is replaced at once, so nobody reads half of it."""
    if output == STANDARD_OUTPUT:
        stream = typer.get_binary_stream("stdout")
        for line in store.lines():
            stream.write(line.encode() + b"\n")
        return
    with whole_file("--output", Path(output)) as file:
        file.writelines(line.encode() + b"\n" for line in store.lines())


def _cells(row: ImportedRow) -> tuple[str, str, str, str]:
    key = row.key if len(row.key) <= _LONGEST_KEY else f"{row.key[: _LONGEST_KEY - 1]}…"
    if row.problems:
        return row.place, key, "nothing: it is wrong", "; ".join(row.problems)
    if row.repeats:
        return row.place, key, f"nothing: {row.repeats} says the same", "; ".join(row.notes)
    if not row.events:
        return row.place, key, f"nothing: {row.ignored}", "; ".join(row.notes)
    return row.place, key, "; ".join(_becomes(row)), "; ".join(row.notes)


def _becomes(row: ImportedRow) -> Iterator[str]:
    """The facts of a row, in the order of their times, updates counted."""
    data = row.events[0][0]["data"]
    fields = data if isinstance(data, dict) else {}
    names = ("component", "components", "impact", "tenant_ids")
    given = [_plain(fields.get(name)) for name in names if fields.get(name)]
    whom = ["every tenant"] if fields.get("scope") == "platform" else []
    if given or whom:
        yield ", ".join([*given, *whom])
    updates = 0
    for _, record in sorted(row.events, key=lambda each: each[1].event.time):
        kind = record.event.type.rpartition(".")[2]
        if kind == "updated":
            updates += 1
            continue
        if updates:
            yield _counted_updates(updates)
            updates = 0
        yield f"{kind} {format_rfc3339(record.event.time)}"
    if updates:
        yield _counted_updates(updates)


def _counted_updates(count: int) -> str:
    return f"{count} update{'' if count == 1 else 's'}"


def _plain(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _fields(file: str, row: ImportedRow) -> dict[str, object]:
    return {
        "file": file,
        "row": row.place,
        "key": row.key,
        "outcome": row.outcome,
        "events": [event for event, _ in row.events] if row.outcome == "events" else [],
        "repeats": row.repeats or None,
        "ignored": row.ignored or None,
        "problems": list(row.problems),
        "notes": list(row.notes),
    }


def print_warnings(warnings: Iterable[str]) -> None:
    """Print warnings on standard error."""
    for warning in warnings:
        typer.echo(f"warning: {warning}", err=True)
