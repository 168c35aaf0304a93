"""`sla import`: the history of a status page or of a ticket system as events; rows are shown before any is written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.support.exits import one_line, wrong_use

if TYPE_CHECKING:
    from connect.history_import.rows import SourceRow
    from connect.intake.mapping.rules import Source

import_app = typer.Typer(
    help="Turn the history of a status page or a ticket system into events. Nothing is published.",
    no_args_is_help=True,
    add_completion=False,
)

_Mapping = Annotated[Path, typer.Option("--mapping", help="What the fields of the file mean (docs/history.md).")]
_Output = Annotated[
    str | None,
    typer.Option(
        "--output",
        metavar="FILE|-",
        help="Also write the events, as JSON lines in the order of their times; - prints them. "
        "Without it, nothing is written.",
    ),
]
#: For scripts that say so: it is what happens without --output.
_DryRun = Annotated[bool, typer.Option("--dry-run", hidden=True)]
_KeepGoing = Annotated[bool, typer.Option("--keep-going", help="Write the good rows although others are wrong.")]
_Contracts = Annotated[
    list[str] | None,
    typer.Option(help="File of contract events or terms: tenants that it lacks are reported; repeatable."),
]
_Rows = Annotated[int, typer.Option("--rows", min=0, help="How many rows the table shows.")]
_AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object for each row.")]


@import_app.command(epilog="Example: sla import statuspage incidents.json --mapping intake.yaml --output history.jsonl")
def statuspage(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE…", help="Saved incidents.json and scheduled-maintenances.json.")
    ],
    mapping: _Mapping,
    source: Annotated[
        str | None, typer.Option("--source", help="Its source in the mapping file; default: the only statuspage.")
    ] = None,
    output: _Output = None,
    dry_run: _DryRun = False,
    keep_going: _KeepGoing = False,
    contracts: _Contracts = None,
    rows: _Rows = 50,
    as_json: _AsJson = False,
) -> None:
    """Show what the incidents and maintenances of a status page become; with --output, write them as events.

    The files are those that every page of Atlassian Statuspage serves under /api/v2. The mapping file is that of the
    intake: its source of format statuspage says what components and impacts mean.
    `sla publish FILE --backfill` then loads the events, `sla simulate FILE` tries them.

    Exit code 1: at least one incident is wrong; nothing is written then, unless --keep-going is given.
    Exit code 2: a file can't be read or is no such JSON.
    """
    from cli.history.run import ImportOptions, run

    options = ImportOptions(output, dry_run, keep_going, contracts or [], rows, as_json)
    options.check()
    options.check_input(str(mapping))
    with one_line():
        sender = _statuspage_source(mapping, source)
        documents = [(str(file), _json_of(file)) for file in files]
        run([(name, _page_rows(name, document, sender)) for name, document in documents], options)


@import_app.command("tickets", epilog="Example: sla import tickets tickets.csv --mapping import.yaml --rows 20")
def tickets_(
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="Exports of one ticket system, CSV or JSON.")],
    mapping: _Mapping,
    output: _Output = None,
    dry_run: _DryRun = False,
    keep_going: _KeepGoing = False,
    contracts: _Contracts = None,
    rows: _Rows = 50,
    as_json: _AsJson = False,
) -> None:
    """Show what the tickets of an export become, or write them as events.

    The mapping file names the columns or fields (times with formats and zones, status, comments) and has the entries
    of the intake's mapping for component, impact, tier and tenants. examples/import has one for Zendesk, Jira,
    ServiceNow and Zammad. A wrong row is named with its line. Files of any size are read in little memory.
    `sla publish FILE --backfill` then loads the events, `sla simulate FILE` tries them.

    Exit code 1: at least one row is wrong; nothing is written then, unless --keep-going is given.
    Exit code 2: a file can't be read, or lacks a column that the mapping file names.
    """
    from cli.history.run import ImportOptions, run
    from cli.history.view import print_warnings
    from connect.history_import.mapping import load_import_mapping
    from connect.history_import.ticket_rows import ticket_rows
    from streams.config_files.problems import PolicyError

    options = ImportOptions(output, dry_run, keep_going, contracts or [], rows, as_json)
    options.check()
    options.check_input(str(mapping))
    with one_line():
        try:
            meaning = load_import_mapping(mapping)
        except PolicyError as error:
            wrong_use(str(error))
        except OSError as error:
            wrong_use(f"{mapping} can't be read: {error.strerror}")

        def warn(warning: str) -> None:
            print_warnings([warning])

        found = [(str(file), ticket_rows(file, meaning, warn)) for file in files]
        run(found, options, updates=meaning.updates is not None)


def _statuspage_source(mapping: Path, name: str | None) -> Source:
    """A source of format statuspage. Raises typer.Exit."""
    from connect.intake.mapping_file import load_mapping
    from streams.config_files.problems import PolicyError

    try:
        sources = {each.name: each for each in load_mapping(mapping).values() if each.format == "statuspage"}
    except PolicyError as error:
        wrong_use(str(error))
    except OSError as error:
        wrong_use(f"{mapping} can't be read: {error.strerror}")
    names = ", ".join(sources) or "none"
    if name is None and len(sources) != 1:
        wrong_use(f"which source is the page? write --source NAME; of format statuspage there are: {names}")
    found = sources.get(name or next(iter(sources)))
    return found or wrong_use(f"--source: there is no source {name!r} of format statuspage; there are: {names}")


def _page_rows(name: str, document: object, source: Source) -> Iterator[SourceRow]:
    from connect.history_import.status_page import NotAPage, page_rows

    try:
        yield from page_rows(document, source)
    except NotAPage as error:
        raise NotAPage(f"{name}: {error}") from None


def _json_of(file: Path) -> object:
    """The JSON of a file. Raises typer.Exit."""
    from connect.intake.formats import json_body
    from streams.sla.events import Rejection

    try:
        found = json_body.parse(file.read_bytes())
    except OSError as error:
        wrong_use(f"{file} can't be read: {error.strerror}")
    return wrong_use(f"{file}: {found.message}") if isinstance(found, Rejection) else found
