"""`sla report`: availability, credits, breaches and attainment, read from the topics; a customer's statement."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cli.support.exits import FOUND, wrong_use
from cli.support.options import Brokers, Prefix, chosen_format, codec_of, settings_of
from cli.support.progress import counting
from cli.support.whole_file import whole_file

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from board.reports.report import Report
    from streams.settings import Settings

TOPICS = ("credits", "alerts")
_MONTH = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")


def report(
    tenant: Annotated[str | None, typer.Option(help="Only this tenant, including platform-wide incidents.")] = None,
    month: Annotated[str | None, typer.Option(metavar="YYYY-MM", help="Only this month.")] = None,
    quarter: Annotated[
        str | None, typer.Option(metavar="YYYY-Qn", help="Only the three months of a quarter, such as 2026-Q1.")
    ] = None,
    format_: Annotated[
        Literal["table", "json", "csv", "html"], typer.Option("--format", help="Output format.")
    ] = "table",
    json_too: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="FILE", help="Write to this file, whole or not at all.")
    ] = None,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Exit code 1 when a final or adjusted month missed its guarantee, or there is no statement."
        ),
    ] = False,
    customer: Annotated[
        bool, typer.Option("--customer", help="The statement of --tenant for --month, for the customer to read.")
    ] = False,
    lang: Annotated[Literal["en", "ja"], typer.Option(help="Language of --customer: English or Japanese.")] = "en",
    brokers: Brokers = None,
    prefix: Prefix = None,
) -> None:
    """Report availability, downtime and credits of each tenant and month, the breaches that are not retracted, and the
    shares of guaranteed times that were kept.

    Months are in the time zone of each contract; without --tenant, breaches and shares are counted by month in UTC.
    With --customer, the output is the month's statement with its arithmetic, and nothing internal. --lang is the
    language of its text and of its HTML page.

    Exit code 1: with --check, a guarantee was missed, or there is no statement of --tenant, --month or --quarter;
    with --customer, there is no statement of that month.
    """
    from cli.support.console import safe

    format_ = chosen_format(format_, as_json=json_too)
    months = _months(month, quarter)
    if customer:
        if tenant is None or month is None:
            wrong_use("--customer needs --tenant and --month")
        _customer(settings_of(brokers, prefix), tenant, month, lang, format_, output=output, check=check)
        return
    if lang != "en":
        wrong_use("--lang applies only with --customer; add it")
    settings = settings_of(brokers, prefix)
    found = read_report(settings, tenant, months)
    absent = bool(tenant or months) and not found.statements
    if absent:
        named = " ".join(
            filter(None, (tenant and f"of {safe(tenant)}", (month or quarter) and f"for {month or quarter}"))
        )
        typer.echo(f"warning: there is no statement {named}; `sla credits list` lists all", err=True)
    title = " ".join(filter(None, ("Service report", tenant, month or quarter)))
    if format_ == "table" and output is None:
        _print(found)
    else:
        _write(_text(found, format_, title, settings), output)
    if check and (found.missed or absent):
        raise typer.Exit(FOUND)


def read_report(
    settings: Settings,
    tenant: str | None = None,
    months: Collection[str] | None = None,
    suffixes: Sequence[str] = TOPICS,
) -> Report:
    """The report of the topics as they are now. Raises BrokerProblem."""
    from cli.reports.collect import Reporting
    from cli.reports.erased_names import ErasedNames
    from connect.kafka_io.reader import read_topics
    from streams.sla.events import Rejection

    reporting = Reporting(tenant, months, ErasedNames(settings.time_limits().pseudonym_key))
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


def _months(month: str | None, quarter: str | None) -> frozenset[str] | None:
    """The months that are asked for; None: all. Ends the command when an option can't be read."""
    if month is not None and quarter is not None:
        wrong_use("--month and --quarter exclude each other; give one of them")
    if month is not None:
        if not _MONTH.fullmatch(month):
            wrong_use(f"--month: expected a month such as 2026-01, got {month!r}")
        return frozenset([month])
    if quarter is None:
        return None
    from board.reports.quarters import quarter_months

    if (months := quarter_months(quarter)) is None:
        wrong_use(f"--quarter: expected a quarter such as 2026-Q1, got {quarter!r}")
    return frozenset(months)


def _text(found: Report, format_: str, title: str, settings: Settings) -> str:
    from board.reports.formats import as_csv, as_html, as_json
    from streams.config_files.problems import PolicyError
    from streams.errors import SettingsError

    match format_:
        case "json":
            return as_json(found)
        case "csv":
            return as_csv(found)
        case "html":
            try:
                return as_html(found, title, settings.load_policies())
            except (PolicyError, SettingsError):
                return as_html(found, title)  # only the lines of the guarantees are missing
    return _as_table(found)


def _customer(
    settings: Settings,
    tenant: str,
    month: str,
    lang: Literal["en", "ja"],
    format_: str,
    *,
    output: Path | None,
    check: bool,
) -> None:
    from board.reports.customer import statement_html, statement_json
    from board.statement_csv import statement_csv
    from cli.reports.customer import customer_statement, statement_text
    from cli.support.console import safe
    from streams.config_files.problems import PolicyError

    try:
        policies = settings.load_policies()
    except PolicyError as error:
        wrong_use(str(error))
    found = customer_statement(settings, policies, tenant, month)
    if found is None:
        typer.echo(f"there is no statement of {safe(tenant)} for {month}; `sla credits list` lists all", err=True)
        raise typer.Exit(FOUND)
    match format_:
        case "html":
            text = statement_html(found, lang)
        case "json":
            text = statement_json(found)
        case "csv":
            text = statement_csv(found.terms, found.lines)
        case _:
            text = statement_text(found, lang)
    _write(text, output)
    if check and found.terms.status != "provisional" and not found.terms.guarantee_met:
        raise typer.Exit(FOUND)


def _write(text: str, output: Path | None) -> None:
    """To standard output, or to a file that is replaced at once, so nobody reads half of it."""
    if output is None:
        typer.get_binary_stream("stdout").write(text.encode())
        return
    with whole_file("--output", output) as file:
        file.write(text.encode())


def _print(found: Report) -> None:
    from board.reports.report import tables_of
    from cli.support.console import print_rows

    for table in tables_of(found):
        if not table.rows:
            typer.echo(f"{table.title}: none")
        else:
            print_rows(table.heads, table.rows, title=table.title)


def _as_table(found: Report) -> str:
    """The report as text: tables of tab-separated lines, each after its title and its heads."""
    from board.reports.report import tables_of
    from cli.support.console import safe

    lines = []
    for table in tables_of(found):
        lines += [table.title, *("\t".join(map(safe, row)) for row in [table.heads, *table.rows]), ""]
    return "\n".join(lines)
