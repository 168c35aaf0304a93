"""`sla rejected list|show|retry`: input that could not be applied, why, and the coordinates of the original (R27)."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from cli.support.console import print_rows, safe
from cli.support.exits import FOUND, one_line, wrong_use
from cli.support.options import Brokers, Prefix, settings_of
from cli.support.progress import shown
from cli.support.references import contracts_here, policies_for, reference_warnings, references
from cli.support.waiting import AsJson, ReportedResults, Wait, print_unchanged, report_results, results_reader
from cli.support.warnings import CommandWarning, Warnings

if TYPE_CHECKING:
    from connect.kafka_io.rejected_records import RejectedRecord
    from streams.settings import Settings

rejected_app = typer.Typer(help="List, show and retry rejected input.", no_args_is_help=True, add_completion=False)


@rejected_app.command("list", epilog="Example: sla rejected list --code invalid --limit 20")
def list_(
    code: Annotated[str | None, typer.Option(help="Only records with this code.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the latest N records.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
    brokers: Brokers = None,
    prefix: Prefix = None,
) -> None:
    """List rejected records, oldest first, each with the reason and the coordinates of the original."""
    _check_code(code)
    with one_line():
        found = [entry for entry in _entries(brokers, prefix, values=False) if code in {None, entry.rejected.code}]
    listed = found if limit is None else found[-limit:]
    if as_json:
        from cli.events.rejected_view import as_object
        from streams.serde.cloudevents_json import format_line

        for entry in listed:
            typer.echo(format_line(as_object(entry)))
    elif not listed:
        typer.echo("nothing was rejected" if code is None else f"nothing was rejected as {code}")
    else:
        _print(listed)
        if len(listed) < len(found):
            typer.echo(f"the latest {len(listed):,} of {len(found):,}")


@rejected_app.command(epilog="Example: sla rejected show incident-events/3/1042")
def show(
    which: Annotated[
        str,
        typer.Argument(
            metavar="COORDINATES|NUMBER", help="TOPIC/PARTITION/OFFSET of the original, or its number in the list."
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, with the whole value.")] = False,
    brokers: Brokers = None,
    prefix: Prefix = None,
) -> None:
    """Show one rejected record: all headers, and its value decoded or as a hex dump of its first bytes."""
    from cli.events.rejected_view import described, in_full

    with one_line():
        entries = _entries(brokers, prefix)
        settings = settings_of(brokers, prefix)
    chosen = _chosen(entries, which, settings.topic_prefix)
    if as_json:
        from streams.serde.cloudevents_json import format_line

        typer.echo(format_line(in_full(chosen)))
        return
    for line in described(chosen):
        typer.echo(line)


@rejected_app.command(epilog="Example: sla rejected retry incident-events/3/1042 --with corrected.json")
def retry(
    which: Annotated[
        list[str] | None,
        typer.Argument(metavar="COORDINATES|NUMBER", help="TOPIC/PARTITION/OFFSET of the originals, or their numbers."),
    ] = None,
    code: Annotated[
        str | None, typer.Option(help="All records with this code but bodies of requests; repeats count once.")
    ] = None,
    corrected: Annotated[
        str | None, typer.Option("--with", metavar="FILE|-", help="The corrected event, one JSON object.")
    ] = None,
    backfill: Annotated[bool, typer.Option("--backfill", help="Send it as history being loaded.")] = False,
    wait: Wait = None,
    as_json: AsJson = False,
    brokers: Brokers = None,
    prefix: Prefix = None,
) -> None:
    """Send rejected input again: as it was, when its cause is gone, or corrected. `sla rejected show` prints the event
    to correct. The record keeps the headers of its rejections as its history.

    Of a quarantined incident or tenant the last input is sent again, which lifts the quarantine.

    A number is a place in the list as it is now, which moves when records before it are deleted or arrive late: on a
    terminal the command says which record it is, and asks; elsewhere it refuses numbers once records are deleted.
    Coordinates stay the same.

    Exit code 1: it was rejected again. Exit code 2: it would be rejected again, so nothing was sent.
    """
    from connect.actions.rejected_retry import is_request, retry_record, send, superseded
    from connect.kafka_io.batches import PublishingStopped
    from streams.time_source import SystemTimeSource

    if bool(which) == (code is not None):
        wrong_use("which records? Give coordinates or numbers, or --code for all with that code")
    if corrected is not None and len(which or ()) != 1:
        wrong_use("--with corrects one record: give its coordinates or its number")
    _check_code(code)
    with one_line():
        settings = settings_of(brokers, prefix)
        entries = _entries(brokers, prefix)
        if which:
            chosen = [_chosen(entries, each, settings.topic_prefix) for each in which]
            numbered = [entry for name, entry in zip(which, chosen, strict=True) if name.isdecimal()]
            _check_numbers(numbered, settings, ask=not as_json and corrected != "-")
        else:
            retried = superseded(entries)
            found = [entry for entry in entries if entry.rejected.code == code and entry.original not in retried]
            chosen = [entry for entry in found if not is_request(entry)]
            if left_out := len(found) - len(chosen):
                typer.echo(
                    f"{left_out:,} left out: bodies of requests to the intake, not events; correct the mapping file "
                    "and have their senders send them again",
                    err=True,
                )
        if not chosen:
            others = "nothing else" if found else "nothing"
            print_unchanged(f"{others} was rejected as {code}", as_json=as_json)
            return
        text = None if corrected is None else _one_event(corrected)
        clock = SystemTimeSource()
        records = [retry_record(entry, settings, clock, corrected=text, backfill=backfill) for entry in chosen]
        warnings = Warnings()
        if text is not None:
            warnings.tell(_warnings(text, settings, clock.now(), backfill=backfill))
        with results_reader(settings, wait) as reader:
            try:
                sent = send(settings, records)
            except (KeyboardInterrupt, PublishingStopped) as stopped:
                again = "the same command again is safe, an event counts once"
                typer.echo(f"stopped: records may have been sent again; {again}", err=True)
                results = ReportedResults(fine=True, found=None, stopped=stopped)
            else:
                typer.echo(f"{len(records):,} record{'' if len(records) == 1 else 's'} sent again", err=True)
                loading = any(record.backfill for record in records)
                inputs = [each for each in sent if not each.topic.endswith((".shared", "-internal"))]
                results = report_results(reader, inputs, settings, required=wait is True, backfill=loading)
    if as_json:
        originals = [entry.original for entry in chosen]
        typer.echo(json.dumps({**results.fields(), "originals": originals, **warnings.fields()}, ensure_ascii=False))
    with one_line():
        results.end()


def _warnings(text: str, settings: Settings, now: int, *, backfill: bool) -> Iterator[CommandWarning]:
    """What a corrected event, which was checked, says that is rarely meant."""
    from cli.events.doubtful_lines import DoubtfulLines
    from streams.serde.input_records import InputRecord, input_record_from_line

    record = input_record_from_line(text, backfill=backfill)
    assert isinstance(record, InputRecord)
    names, doubts = references(), DoubtfulLines()
    names.add(record.event)
    doubts.add(record.event, text)
    contracts = contracts_here(settings) if names.tenants or doubts.windows else {}
    policies = policies_for(names, settings, also=doubts.windows)
    yield from reference_warnings(names, policies, tenants=contracts is not None, contracts=contracts or ())
    yield from doubts.warnings(policies, contracts or {}, now)


def _check_code(code: str | None) -> None:
    """Ends the command for a code that no reject can have: it is misspelled, and nothing would be found."""
    from streams.sla.events import REJECT_CODES

    if code is not None and code not in REJECT_CODES:
        wrong_use(f"--code: {safe(code)!r} is not a code; allowed: {', '.join(REJECT_CODES)}")


def _chosen(entries: Sequence[RejectedRecord], which: str, prefix: str) -> RejectedRecord:
    """The record of a number or of coordinates, the latest if there are several. Ends the command without one."""
    from connect.kafka_io.rejected_records import record_named

    found = record_named(entries, which, prefix)
    if found is None:
        wrong_use(f"no rejected record is {safe(which)}; `sla rejected list` shows all of them")
    return found


def _check_numbers(numbered: Sequence[RejectedRecord], settings: Settings, *, ask: bool) -> None:
    """On a terminal tell which records the numbers are, and ask: since they were listed, the list may have moved. Ends
    the command where nobody can be asked and records before them are deleted by now."""
    from connect.kafka_io.rejected_records import oldest_deleted

    if not numbered:
        return
    if ask and sys.stdin.isatty() and sys.stdout.isatty():
        for entry in numbered:
            key = "" if entry.record.key is None else f", key {safe(entry.record.key.decode(errors='replace'))}"
            typer.echo(f"{entry.number} is {entry.original} ({entry.rejected.code}{key})", err=True)
        if not typer.confirm("send it again?" if len(numbered) == 1 else "send them again?", err=True):
            typer.echo("nothing was sent", err=True)
            raise typer.Exit(FOUND)
    elif oldest_deleted(settings):
        wrong_use("numbers may have moved, as old records are deleted by now; give the coordinates; nothing was sent")


def _one_event(file: str) -> str:
    """The text of one JSON object, which may span lines."""
    from streams.lines import check_readable, read_lines

    check_readable([file])
    return "\n".join(read_lines(file))


def _entries(brokers: str | None, prefix: str | None, *, values: bool = True) -> list[RejectedRecord]:
    from connect.kafka_io.rejected_records import rejected_in

    return rejected_in(settings_of(brokers, prefix), shown("rejected records read"), values=values)


def _print(entries: Sequence[RejectedRecord]) -> None:
    from cli.events.rejected_view import as_object

    rows = []
    for entry in entries:
        fields = as_object(entry)
        names = (
            fields["number"],
            fields["time"],
            fields["code"],
            entry.original,
            fields["key"],
            fields["id"],
            fields["message"],
        )
        rows.append(["-" if each is None else each for each in names])
    print_rows(("number", "when", "code", "original", "key", "event id", "why"), rows)
