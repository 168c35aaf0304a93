"""`sla publish`: publishes JSON lines to Kafka and waits for the acknowledgements."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from cli.support.exits import WRONG_USE
from cli.support.options import Brokers, Prefix, settings_of
from cli.support.progress import counting
from cli.support.references import contracts_here, policies_for, reference_warnings, references
from cli.support.waiting import AsJson, ReportedResults, Wait, report_results, results_reader
from cli.support.warnings import CommandWarning, Warnings
from streams.errors import SlaError
from streams.lines import UnreadableFile, arriving_lines, check_readable

if TYPE_CHECKING:
    from cli.events.amended_times import AmendedTimes
    from cli.events.publish_lines import Published
    from streams.settings import Settings
    from streams.sla.events import Event


def publish(
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="File of JSON lines; - for standard input.")],
    backfill: Annotated[bool, typer.Option("--backfill", help="Mark all events as history being loaded.")] = False,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Publish valid lines after an invalid one as well.")
    ] = False,
    check_time: Annotated[
        bool, typer.Option("--check-time/--no-check-time", help="Refuse events that workers reject for their time.")
    ] = True,
    wait: Wait = None,
    as_json: AsJson = False,
    brokers: Brokers = None,
    prefix: Prefix = None,
) -> None:
    """Publish events, one CloudEvents object per line, and wait until the broker has acknowledged all of them.

    Each line is checked before it is sent. An invalid line is reported with its number; nothing after it is sent. That
    includes events that are too old (publish history with --backfill) or in the future, by SLA_LATENESS_HORIZON and
    SLA_MAX_FUTURE_SKEW. What is accepted and rarely meant is named: incidents that end before they begin, by the lines
    and by the present state of those that are amended, extensions that contradict a field, and times of windows.

    Exit code 1: workers rejected an event. Exit code 2: a line was invalid, or Kafka is not available.
    """
    from cli.events.amended_times import AmendedTimes
    from cli.events.doubtful_lines import DoubtfulLines
    from cli.events.publish_lines import BadLine, Published, publish_lines
    from streams.schema_registry.schema_source import writing_frame
    from streams.schema_registry.subjects import INPUT_TYPES
    from streams.serde.input_checks import untimely
    from streams.time_source import SystemTimeSource

    settings = settings_of(brokers, prefix)
    check_readable([file])

    def report_invalid(bad: BadLine) -> None:
        typer.echo(f"{file}:{bad}", err=True)

    names, amended, doubts = references(), AmendedTimes(), DoubtfulLines()
    warnings, published, found = Warnings(), Published(), ReportedResults(fine=True, found=None)

    def note(number: int, event: Event, line: str) -> None:
        names.add(event, f"line {number}")
        amended.add(number, event)
        doubts.add(event, line, f"line {number}")

    clock, limits = SystemTimeSource(), settings.time_limits()
    try:
        with results_reader(settings, wait) as results:
            with counting("events published") as one:
                publish_lines(
                    arriving_lines(file),
                    settings.bootstrap(),
                    settings.topic_prefix,
                    backfill=backfill,
                    keep_going=keep_going,
                    security=settings.aiokafka_security(),
                    framed=writing_frame(settings.schema_registry(), settings.topic_prefix, INPUT_TYPES),
                    on_line=one,
                    on_event=note,
                    on_bad=report_invalid,
                    check=lambda event: untimely(event, clock.now(), limits) if check_time else None,
                    published=published,
                )
            try:
                tenants = results is not None
                contracts = contracts_here(settings) if tenants and (names.tenants or doubts.windows) else {}
                policies = policies_for(names, settings, also=doubts.windows)
                checked = tenants and contracts is not None
                warnings.tell(reference_warnings(names, policies, tenants=checked, contracts=contracts or ()))
                warnings.tell(doubts.warnings(policies, contracts or {}, clock.now()))
            finally:
                _print_summary(published, keep_going=keep_going)
            loading = published.backfill
            found = report_results(results, published.ranges, settings, required=wait is True, backfill=loading)
        if amended and found.stopped is None:
            _compare_amended(amended, settings, found, warnings)
    except (KeyboardInterrupt, SlaError) as stopped:
        if published.begun:
            found = found._replace(stopped=stopped)
            if not published.ended:
                _print_stopped(published, stopped)
            if as_json:
                _print_object(published, found, warnings)
        raise
    if as_json:
        _print_object(published, found, warnings)
    if published.bad and found.stopped is None:
        raise typer.Exit(WRONG_USE)
    found.end()


def _compare_amended(amended: AmendedTimes, settings: Settings, found: ReportedResults, warnings: Warnings) -> None:
    """Warn of amended incidents that end before they begin now."""
    from connect.intake.contradictory_times import ENDS_BEFORE_IT_BEGINS
    from connect.kafka_io.connection import BrokerProblem

    applied = found.found is not None and not found.found.unread
    try:
        ending = amended.in_states(settings, applied=applied)
        warnings.tell(CommandWarning(ENDS_BEFORE_IT_BEGINS, each) for each in ending)
    except BrokerProblem as error:  # all is published: this is no reason to fail
        warnings.tell([CommandWarning("not_checked", f"amended times were not compared with states: {error}")])
    except KeyboardInterrupt:
        warnings.tell([CommandWarning("not_checked", "amended times were not compared with states: interrupted")])
        raise


def _print_object(published: Published, found: ReportedResults, warnings: Warnings) -> None:
    """The result for programs: what was published and what the workers made of it, and the lines that were wrong."""
    empty = {} if published.begun else {"outcome": "unchanged", "accepted": 0, "unread": 0}
    found_object = {
        "published": published.acknowledged,
        **found.fields(),
        **empty,
        "invalid_lines": [
            {"line": each.number, "code": each.rejection.code, "message": each.rejection.message}
            for each in published.bad
        ],
        **warnings.fields(),
    }
    typer.echo(json.dumps(found_object, ensure_ascii=False))


def _print_stopped(published: Published, stopped: BaseException) -> None:
    """What is published where it ended half way."""
    if isinstance(stopped, KeyboardInterrupt):
        typer.echo(
            f"interrupted: {_events(published)} acknowledged, a few more may be in Kafka; the same file again is safe, "
            "an event counts once",
            err=True,
        )
    elif isinstance(stopped, UnreadableFile):
        typer.echo(f"{published.acknowledged:,} events of the lines before are published", err=True)


def _events(published: Published) -> str:
    return f"{published.acknowledged:,} event{'' if published.acknowledged == 1 else 's'}"


def _print_summary(published: Published, *, keep_going: bool) -> None:
    count = f"{_events(published)} published"
    if published.bad:
        first = published.bad[0].number
        count += (
            f"; {len(published.bad):,} bad" if keep_going else f"; stopped at line {first}, nothing after it was sent"
        )
    typer.echo(count, err=True)
