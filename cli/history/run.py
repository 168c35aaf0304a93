"""The run of an import: rows shown, names checked, events written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import typer

from cli.history.view import STANDARD_OUTPUT, LongRows, RowsShown, print_warnings, write_events
from cli.support.console import safe
from cli.support.counts import counted
from cli.support.exits import FOUND, wrong_use
from cli.support.options import settings_of
from cli.support.references import policies_for, reference_warnings, references
from streams.lines import read_lines

if TYPE_CHECKING:
    from connect.history_import.rows import SourceRow
    from streams.sla.events import Event, Rejection


class ImportOptions(NamedTuple):
    """How rows are shown and where their events go. Without `output`, nothing is written."""

    output: str | None
    dry_run: bool
    keep_going: bool
    contracts: Sequence[str]
    rows: int
    as_json: bool

    def check(self) -> None:
        """Raises typer.Exit for options that contradict."""
        if self.dry_run and self.output is not None:
            wrong_use("--dry-run writes nothing, --output writes the events; leave one of them out")
        if self.output == STANDARD_OUTPUT and self.as_json:
            wrong_use("--json and --output - both print to standard output; give --output a file")
        if self.output not in (None, STANDARD_OUTPUT) and not Path(str(self.output)).absolute().parent.is_dir():
            wrong_use(f"--output: {self.output} can't be written: there is no such folder")

    def check_input(self, file: str) -> None:
        """Raises typer.Exit where the events would take the place of what they are made of."""
        output = None if self.output in (None, STANDARD_OUTPUT) else Path(str(self.output))
        if output is not None and output.exists() and Path(file).exists() and output.samefile(file):
            wrong_use(f"--output: {self.output} is what is read; give it another name")


def run(files: Iterable[tuple[str, Iterable[SourceRow]]], options: ImportOptions, *, updates: bool = True) -> None:
    """Show what the rows of files become and write their events. `updates`: whether the files can have updates.

    Raises typer.Exit 1 where a row is wrong.
    """
    from connect.history_import.event_store import EventStore
    from connect.history_import.rows import imported
    from streams.serde.input_checks import untimely
    from streams.time_source import SystemTimeSource

    settings, clock = settings_of(needs_brokers=False), SystemTimeSource()
    limits = settings.time_limits()

    def check(event: Event) -> Rejection | None:
        return untimely(event._replace(backfill=True), clock.now(), limits)

    names, lasting = references(), LongRows()
    for file in options.contracts:
        for event in _contract_events(file):
            names.add(event)
    wrong = 0
    files = list(files)
    for name in (*(file for file, _ in files), *options.contracts):
        options.check_input(name)
    with EventStore() as store:
        for file, rows in files:
            shown = RowsShown(
                file, limit=options.rows, as_json=options.as_json, table=options.output != STANDARD_OUTPUT
            )
            before = store.count
            for row in imported(rows, store, check):
                shown.add(row)
                lasting.add(file, row)
                for _, record in row.events:
                    names.add(record.event, f"{file}, {row.place}")
            shown.finish()
            typer.echo(shown.summary(store.count - before), err=True)
            wrong += shown.counts["wrong"]
        print_warnings(lasting.warnings())
        if store.count and not updates:
            print_warnings(
                ["the mapping has no `updates`: update clocks breach in this history, whatever support answered"]
            )
        found = reference_warnings(names, policies_for(names, settings), tenants=bool(options.contracts))
        print_warnings(each.message for each in found)
        if store.count and not options.contracts:
            print_warnings(["tenants were not checked; --contracts FILE checks them"])
        if options.output is None:
            typer.echo("nothing was written; --output FILE writes the events", err=True)
        elif wrong and not options.keep_going:
            typer.echo("nothing was written; --keep-going writes the rest", err=True)
        else:
            write_events(store, options.output)
            typer.echo(f"{counted(store.count, 'event')} written; `sla publish FILE --backfill` loads them", err=True)
    if wrong:
        raise typer.Exit(FOUND)


def _json_of(file: str, number: int, line: str) -> object:
    """The JSON of a line. Raises typer.Exit."""
    from streams.serde.cloudevents_json import json_of
    from streams.sla.events import Rejection

    found = json_of(line)
    return wrong_use(f"{safe(file)}:{number}: {found.message}") if isinstance(found, Rejection) else found


def _contract_events(file: str) -> Iterator[Event]:
    """The contract facts of a file of events or of terms. Other events are skipped. Raises typer.Exit."""
    from connect.contract_import.file import read_rows
    from streams.serde.input_records import input_record_from_json
    from streams.sla.events import Rejection

    lines = list(read_lines(file))
    found: list[object] = []
    if '"specversion"' in next((line for line in lines if line.strip()), ""):
        found = [_json_of(file, number, line) for number, line in enumerate(lines, 1) if '"contract.set"' in line]
    else:
        rows, bad = read_rows(lines)
        if bad:
            wrong_use(f"{safe(file)}:{bad[0].line}: {bad[0].problem}")
        found = [
            {
                "specversion": "1.0",
                "id": "checked",
                "type": "contract.set",
                "source": "/checked",
                "subject": row.tenant,
                "time": "2026-01-01T00:00:00Z",
                "data": row.data,
            }
            for row in rows
        ]
    for event in found:
        record = input_record_from_json(event)
        if isinstance(record, Rejection):
            wrong_use(f"{safe(file)}: {record.message}")
        yield record.event
