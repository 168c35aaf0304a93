"""`sla report`: availability, credits and breaches, read from the topics."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cli.support.console import print_rows
from cli.support.exits import wrong_use
from cli.support.options import Brokers, Prefix, chosen_format, codec_of, settings_of
from cli.support.progress import counting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cli.reports.collect import Report
    from streams.settings import Settings

TOPICS = ("credits", "alerts")
_MONTH = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")


def report(
    tenant: Annotated[str | None, typer.Option(help="Only this tenant, including platform-wide incidents.")] = None,
    month: Annotated[str | None, typer.Option(metavar="YYYY-MM", help="Only this month.")] = None,
    format_: Annotated[
        Literal["table", "json", "csv", "html"], typer.Option("--format", help="Output format.")
    ] = "table",
    json_too: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    brokers: Brokers = None,
    prefix: Prefix = None,
) -> None:
    """Report availability, downtime and credits of each tenant and month, and the breaches that are not retracted.

    Months are in the time zone of each contract; without --tenant, breaches are counted by month in UTC.
    """
    format_ = chosen_format(format_, as_json=json_too)
    if month is not None and not _MONTH.fullmatch(month):
        wrong_use(f"--month: expected a month such as 2026-01, got {month!r}")
    found = read_report(settings_of(brokers, prefix), tenant, month)
    if format_ == "table":
        _print(found)
        return
    from cli.reports.formats import as_csv, as_html, as_json

    match format_:
        case "json":
            text = as_json(found)
        case "csv":
            text = as_csv(found)
        case "html":
            text = as_html(found, " ".join(filter(None, ("Service report", tenant, month))))
    typer.get_binary_stream("stdout").write(text.encode())


def read_report(
    settings: Settings, tenant: str | None = None, month: str | None = None, suffixes: Sequence[str] = TOPICS
) -> Report:
    """The report of the topics as they are now. Raises BrokerProblem."""
    from cli.reports.collect import Reporting
    from connect.kafka_io.reader import read_topics
    from streams.sla.events import Rejection

    reporting = Reporting(tenant, month)
    undecodable, decode = 0, codec_of(settings).decode
    topics = [f"{settings.topic_prefix}.{suffix}" for suffix in suffixes]
    with counting("records read") as one:
        for record in read_topics(settings.bootstrap(), topics, settings.aiokafka_security()):
            decoded = decode(record.value, len(record.value or b""))
            if isinstance(decoded, Rejection):
                undecodable += 1
            else:
                reporting.take(*decoded, record.arrival)
            one()
    if undecodable:
        typer.echo(f"left out: {undecodable:,} records that could not be decoded", err=True)
    return reporting.report()


def _print(found: Report) -> None:
    from cli.reports.collect import BREACH_HEADS, STATEMENT_HEADS, breach_cells, statement_cells

    tables = (
        ("availability and credits", STATEMENT_HEADS, [statement_cells(row) for row in found.statements]),
        ("breaches that stand", BREACH_HEADS, [breach_cells(row) for row in found.breaches]),
    )
    for title, heads, rows in tables:
        if not rows:
            typer.echo(f"{title}: none")
        else:
            print_rows(heads, rows, title=title)
