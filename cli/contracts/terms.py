"""`sla contracts import|list|show|erase`: terms from a file, the difference first; the terms in the topic."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from cli.contracts.erase import erase
from cli.support.author import WhoOption, named_by
from cli.support.contract_log import applied_contract_log, decided
from cli.support.exits import FOUND, WRONG_USE, wrong_use
from cli.support.options import Brokers, Prefix, settings_of
from cli.support.waiting import Wait, publish_facts
from streams.lines import STDIN, check_readable, read_lines

contracts_app = typer.Typer(
    help="Import contract terms from a file; list the current ones; erase a tenant.",
    no_args_is_help=True,
    add_completion=False,
)


@contracts_app.command("import", epilog="Example: sla contracts import contracts.csv --dry-run")
def import_(
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="CSV with column names, or JSON lines.")],
    yes: Annotated[bool, typer.Option("--yes", help="Publish without confirmation.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the difference only; exit code 1 if there is one.")
    ] = False,
    source: Annotated[str, typer.Option(help="CloudEvents source of the facts.")] = "/sla/contracts",
    who: WhoOption = None,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", help="Print the difference, and what came of it, as one JSON object; needs --yes or --dry-run."
        ),
    ] = False,
    wait: Wait = None,
    brokers: Brokers = None,
    prefix: Prefix = None,
) -> None:
    """Show how the terms in a file differ from those in Kafka, ask, and publish what is new.

    A line holds tenant_id, valid_from (RFC 3339), valid_to, plan, amount_minor and currency (JSON: monthly_charge with
    both), tier, time_zone, emergency_member. If any line is wrong, each wrong one is named and nothing is published.
    The same import again publishes nothing. Terms that the file does not name stay. A plan that
    no policy here has is published with a warning: the workers may have its policy. Exit code 1: not published.
    """
    from cli.contracts.terms_view import counted, difference_lines, difference_object
    from connect.actions.build import with_fields
    from connect.contract_import.diff import difference
    from connect.contract_import.file import read_rows
    from streams.config_files.problems import PolicyError
    from streams.time_source import SystemTimeSource

    author = named_by(who)
    settings = settings_of(brokers, prefix)
    check_readable([file])
    if file == STDIN and not (yes or dry_run):
        wrong_use("standard input can't both hold the terms and answer the question; give --yes or --dry-run too")
    if as_json and not (yes or dry_run):
        wrong_use("--json asks no question; give --yes or --dry-run too")
    rows, bad = read_rows(list(read_lines(file)))
    if bad:
        for each in bad:
            typer.echo(f"{file}:{each.line}: {each.problem}", err=True)
        typer.echo(f"{counted(len(bad), 'bad line')}; nothing was published", err=True)
        raise typer.Exit(WRONG_USE)
    now = SystemTimeSource().now()
    _, found = decided(settings, lambda log: difference(rows, log, source, now), lambda found: found.unchanged > 0)
    try:
        plans = set(settings.load_policies().by_name) if found.changes else set()
    except PolicyError as error:
        wrong_use(str(error))
    found_object = difference_object(found, plans)
    if as_json and (dry_run or not found.changes):
        outcome = {} if found.changes else {"outcome": "unchanged"}
        typer.echo(json.dumps({**outcome, **found_object}, ensure_ascii=False))
    elif not as_json:
        for line in difference_lines(found, plans):
            typer.echo(line)
    if not found.changes:
        return
    if dry_run:
        raise typer.Exit(FOUND)
    if not yes and not typer.confirm(f"publish {counted(len(found.changes), 'fact')}?"):
        typer.echo("nothing was published", err=True)
        raise typer.Exit(FOUND)
    facts = [with_fields(change.event, author) for change in found.changes]

    def done(count: int) -> None:
        typer.echo(f"{counted(count, 'fact')} published", err=True)

    publish_facts(settings, facts, source, wait=wait, done=done, as_json=as_json, about=found_object)


@contracts_app.command("list", epilog="Example: sla contracts list --at 2026-04-30T23:59:59Z")
def list_(
    at: Annotated[str | None, typer.Option(metavar="TIME", help="RFC 3339; default: now.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
    brokers: Brokers = None,
    prefix: Prefix = None,
) -> None:
    """List every tenant with the terms that are in force."""
    from cli.contracts.terms_view import counted, print_terms
    from cli.support.console import safe

    settings = settings_of(brokers, prefix)
    instant = _instant(at)
    log = applied_contract_log(settings)
    found = [(tenant, history.at(instant)) for tenant, history in sorted(log.contracts.items())]
    print_terms([(tenant, terms) for tenant, terms in found if terms is not None], as_json=as_json)
    without = [tenant for tenant, terms in found if terms is None]
    if without and not as_json:
        typer.echo(f"{counted(len(without), 'tenant')} without terms in force then: {', '.join(map(safe, without))}")


@contracts_app.command(epilog="Example: sla contracts show acme")
def show(
    tenant: Annotated[str, typer.Argument(help="The tenant's id.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
    brokers: Brokers = None,
    prefix: Prefix = None,
) -> None:
    """Show all terms of a tenant, the earliest first (of one valid_from the last one counts), and its claims."""
    from cli.contracts.terms_view import print_terms
    from cli.support.console import safe
    from streams.sla.instants import format_rfc3339

    settings = settings_of(brokers, prefix)
    log = applied_contract_log(settings)
    history = log.contracts.get(tenant)
    if history is None:
        wrong_use(f"there is no contract of {safe(tenant)}; `sla contracts list` shows all tenants")
    print_terms([(tenant, contract) for contract in history], as_json=as_json)
    if as_json:
        return
    typer.echo(f"months are those of {history.zone}, money is in {history.currency}")
    for flag in history.flags():
        typer.echo(f"warning: {flag.replace('_', ' ')}")
    for (claimant, month), event in sorted(log.claims.items()):
        if claimant == tenant:
            typer.echo(f"credit of {month} claimed at {format_rfc3339(event.time)}")
    if tenant in log.erased:
        typer.echo("erased: goes by its pseudonym everywhere else")


contracts_app.command(epilog="Example: sla contracts erase acme --reason 'request 4711' --who support:kim")(erase)


def _instant(text: str | None) -> int:
    from streams.sla.instants import parse_rfc3339
    from streams.time_source import SystemTimeSource

    try:
        return SystemTimeSource().now() if text is None else parse_rfc3339(text)
    except ValueError as error:
        wrong_use(f"--at: {error}")
