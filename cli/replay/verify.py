"""`sla verify`: recomputes statements from their own terms and from the events behind them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple, cast

import typer

from cli.support.exits import FOUND, wrong_use
from cli.support.options import Brokers, FromTopics, Prefix, check_from_topics, settings_of
from cli.support.progress import counting
from streams.lines import STDIN, check_readable, counted_lines, read_lines, readable_again

if TYPE_CHECKING:
    from streams.replay.verify import RefusedInput
    from streams.settings import Settings
    from streams.sla.credits.submitted import SubmittedCredit, SubmittedStatement, TermDifference
    from streams.sla.credits.verify_issued import ExpectedCredits
    from streams.sla.policy import Policies

MAX_REFUSED = 3
"""Of the inputs that a statement was verified with, the text form lists the first; the JSON form lists all."""


class SubmittedFile(NamedTuple):
    """The statements and issued credits of a file, each once, and how many other lines there were."""

    statements: list[SubmittedStatement]
    credits: list[SubmittedCredit]
    ignored: int


def verify(
    statement: Annotated[
        str, typer.Argument(metavar="STATEMENT|-", help="File of JSON lines with credit.statement events.")
    ],
    events: Annotated[
        list[str] | None,
        typer.Option("--events", metavar="EVENTS", help="File of input events (JSON lines); repeatable."),
    ] = None,
    from_topics: FromTopics = False,
    policies: Annotated[Path | None, typer.Option(help="Directory of <name>/<version>.yaml.")] = None,
    backfill: Annotated[bool, typer.Option("--backfill", help="Treat all events as history being loaded.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    brokers: Brokers = None,
    prefix: Prefix = None,
) -> None:
    """Recompute statements and name the first term that differs. Exit code 1: some statement differs.

    Without --events a statement is checked by itself: its digest, the bounds of its month, the sums of its intervals,
    the credit and the instant by the policy version it names, and the other revisions of its month; an issued credit
    by the statement that it follows from. With --events it is also checked against the events that were known
    when it was made, as `sla tail --json` prints them; --from-topics reads the input topics. Time limits come
    from the environment (SLA_…), as for a worker.

    An earlier release may have accepted inputs that this one refuses. If its evidence names such inputs, a statement is
    verified with them, and they are listed. A statement with the flag out_of_order may differ; the next revision
    without it does not.
    """
    from cli.kafka_io.topic_history import history_of
    from cli.replay.simulate import choose_policies
    from cli.replay.unknown_fields import unknown_fields_refused

    if from_topics and events:
        wrong_use("events come from files or from the topics: give --events or --from-topics, not both")
    check_from_topics(from_topics=from_topics, brokers=brokers, prefix=prefix)
    settings = settings_of(brokers, prefix, needs_brokers=from_topics)
    chosen = choose_policies(settings, None, policies)
    names = events or []
    check_readable([statement, *names])
    if [statement, *names].count(STDIN) > 1:
        wrong_use("only one of STATEMENT and --events can be standard input")
    submitted = _statements(statement)
    if not submitted.statements:
        wrong_use(f"{statement} has no credit.statement event")
    with (
        history_of(names, settings, from_topics=from_topics) as history,
        readable_again(history.names) as files,
        unknown_fields_refused(history.names),
    ):
        found, credits, read, applied = _findings(submitted, chosen, settings, files, backfill=backfill)
    if names and not applied:
        wrong_use(
            f"{', '.join(names)}: no event to verify with; allowed: input events, as `sla tail --json` prints them. "
            "Without --events a statement is checked by itself"
        )
    show = _print_json if as_json else _print_lines
    show(submitted, found, credits, events=from_topics or bool(names))
    if any(finding.difference is not None for finding in found) or any(one.difference is not None for one in credits):
        if applied < read:
            typer.echo(
                f"note: of {read:,} lines of events {read - applied:,} could not be applied, `sla simulate` says why: "
                "statements differ from a history that is not whole",
                err=True,
            )
        raise typer.Exit(FOUND)


def _statements(name: str) -> SubmittedFile:
    """Ends the command when a line is not an event, or is a statement that violates the schema."""
    from streams.serde.cloudevents_json import parse_line
    from streams.sla.credits.submitted import submitted_credit, submitted_statement
    from streams.sla.events import Rejection

    found: dict[SubmittedStatement, None] = {}
    credits: dict[SubmittedCredit, None] = {}
    ignored = 0
    for number, line in enumerate(read_lines(name), 1):
        if not line.strip():
            continue
        parsed = parse_line(line)
        if isinstance(parsed, Rejection):
            if parsed.code == "unknown_type":
                ignored += 1
                continue
            wrong_use(f"{name}, line {number}: {parsed.message}")
        kind, record = parsed
        if kind == "credit.issued":
            credit = submitted_credit(record)
            ignored += credit in credits
            credits[credit] = None
            continue
        if kind != "credit.statement":
            ignored += 1
            continue
        given = submitted_statement(record, cast(Mapping[str, object], json.loads(line)["data"]))
        if given in found:
            ignored += 1
        else:
            found[given] = None
    return SubmittedFile(list(found), list(credits), ignored)


class Finding(NamedTuple):
    """What a statement differs in, None when nothing differs; and the inputs that it was verified with although this
    release refuses them."""

    difference: TermDifference | None
    refused: Sequence[RefusedInput] = ()


class CreditFinding(NamedTuple):
    """What a credit differs in; `given` says whether the statement that it follows from is there to be compared."""

    difference: TermDifference | None
    given: bool


def _of_credit(
    credit: SubmittedCredit,
    revisions: list[SubmittedStatement],
    policies: Policies,
    expected: ExpectedCredits | None = None,
) -> CreditFinding:
    from streams.sla.credits.verify_issued import check_credit, has_statement

    return CreditFinding(check_credit(credit, revisions, policies, expected), has_statement(credit, revisions))


def _findings(
    submitted: SubmittedFile, policies: Policies, settings: Settings, names: list[str], *, backfill: bool
) -> tuple[list[Finding], list[CreditFinding], int, int]:
    """The finding of each statement, what each credit differs in, how many lines of events there are, and how many
    could be applied."""
    from streams.replay.verify import ReplayedMonths, check_as_accepted, check_with_events
    from streams.sla.credits.verify import check_alone, check_id
    from streams.sla.credits.verify_revision import Months
    from streams.sla.erasure import Erasures

    statements = submitted.statements
    limits = settings.time_limits()
    months = Months(statements, Erasures(limits.pseudonym_key))
    alone = [check_alone(given, policies, months.of(given)) for given in statements]
    if not names:
        credits = [_of_credit(one, months.of(one), policies) for one in submitted.credits]
        return [Finding(difference) for difference in alone], credits, 0, 0
    read = 0

    def lines_of(count: Callable[[], None]) -> Iterator[str]:
        nonlocal read
        for line in counted_lines(names, count):
            read += bool(line.strip())
            yield line

    with counting("events read") as one:
        log = ReplayedMonths(policies, limits, backfill=backfill)
        against = check_with_events(statements, lines_of(one), log)
    alone = [difference or check_id(given) for difference, given in zip(alone, statements, strict=True)]
    # A difference from the events is more informative than a wrong sum; a wrong digest alone comes last.
    found = [Finding(against[index] or difference) for index, difference in enumerate(alone)]
    differing = [index for index, difference in against.items() if difference is not None]
    if differing:
        with counting("events read again") as one:
            given_again, lines = [statements[index] for index in differing], counted_lines(names, one)
            agreed = check_as_accepted(given_again, lines, policies, limits, backfill=backfill)
        for position, refused in agreed.items():
            index = differing[position]
            found[index] = Finding(alone[index], refused)
    credits = [
        _of_credit(one, months.of(one), policies, log.expected_credits(months.of(one))) for one in submitted.credits
    ]
    return found, credits, read, log.events


def _title(given: SubmittedStatement) -> str:
    return f"{given.tenant} {given.month} {given.status}, revision {given.revision}"


def _print_lines(submitted: SubmittedFile, found: list[Finding], credits: list[CreditFinding], *, events: bool) -> None:
    from cli.support.console import safe
    from streams.sla.credits.month_close import OUT_OF_ORDER

    for given, (difference, refused) in zip(submitted.statements, found, strict=True):
        title = safe(_title(given))
        if difference is None:
            inputs = f" with {len(refused):,} input{'' if len(refused) == 1 else 's'} that this release refuses"
            typer.echo(f"{title}: verified{inputs if refused else ''}")
            for line, _, (kind, name), rejection in refused[:MAX_REFUSED]:
                typer.echo(f"  line {line}, {kind} {safe(name)}: {rejection.code}: {safe(rejection.message)}")
            continue
        concerned = f" (incidents {', '.join(difference.incidents)})" if difference.incidents else ""
        entries = f"the statement has {difference.stated}; recomputed: {difference.recomputed}{concerned}"
        typer.echo(f"{title}: differs in {safe(difference.term)}: {safe(entries)}")
        if OUT_OF_ORDER in given.flags:
            typer.echo(
                f"  flag {OUT_OF_ORDER}: the ledger had applied inputs before their turn (SLA_EARLY_INPUT_BYTES), so "
                "it may count what arrived after its instant; the next revision without the flag replaces it"
            )
    for credit, (difference, in_file) in zip(submitted.credits, credits, strict=True):
        title = safe(f"{credit.tenant} {credit.month} credit of revision {credit.revision}, {credit.cause}")
        if difference is None:
            missing = f"not checked: the file has no revision {credit.revision} of that month"
            typer.echo(f"{title}: {'verified' if in_file else missing}")
        else:
            entries = f"the credit has {difference.stated}; recomputed: {difference.recomputed}"
            typer.echo(f"{title}: differs in {difference.term}: {safe(entries)}")
    differ, verified = _counts(found, credits)
    parts = [f"{verified:,} verified", f"{differ:,} differ{'s' if differ == 1 else ''}"]
    if submitted.ignored:
        parts.append(f"{submitted.ignored:,} other line{'' if submitted.ignored == 1 else 's'} ignored")
    alone = "against themselves; with --events or --from-topics also against the events"
    typer.echo(f"{', '.join(parts)} ({'against the events' if events else alone})")


def _counts(found: list[Finding], credits: list[CreditFinding]) -> tuple[int, int]:
    """How many differ, and how many are verified."""
    every = [*((one.difference, True) for one in found), *credits]
    return sum(each is not None for each, _ in every), sum(each is None and given for each, given in every)


def _print_json(submitted: SubmittedFile, found: list[Finding], credits: list[CreditFinding], *, events: bool) -> None:
    entries = [
        {
            "tenant_id": given.tenant,
            "month": given.month,
            "status": given.status,
            "revision": given.revision,
            "digest": given.digest,
            "verified": difference is None,
            "difference": None if difference is None else difference._asdict(),
            "refused_inputs": [
                {"line": line, "kind": kind, "id": name, "code": rejection.code, "message": rejection.message}
                for line, _, (kind, name), rejection in refused
            ],
        }
        for given, (difference, refused) in zip(submitted.statements, found, strict=True)
    ]
    issued = [
        {
            "tenant_id": credit.tenant,
            "month": credit.month,
            "statement_revision": credit.revision,
            "cause": credit.cause,
            "id": credit.event_id,
            "verified": difference is None and given,
            "difference": None if difference is None else difference._asdict(),
        }
        for credit, (difference, given) in zip(submitted.credits, credits, strict=True)
    ]
    differ, verified = _counts(found, credits)
    summary = {"verified": verified, "differ": differ, "ignored": submitted.ignored, "events": events}
    typer.echo(json.dumps({**summary, "statements": entries, "credits": issued}, ensure_ascii=False, indent=2))
