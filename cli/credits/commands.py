"""`sla credits list|show`: what each month came to, and the arithmetic of one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.cells import cell_len, set_cell_size

from cli.support.console import plain_console, safe
from cli.support.contract_log import applied_contract_log
from cli.support.exits import wrong_use
from cli.support.options import Brokers, Prefix, settings_of
from cli.support.references import policies_here

if TYPE_CHECKING:
    from cli.credits.months import MonthStatement
    from streams.settings import Settings

credits_app = typer.Typer(help="List tenants' months and their credits.", no_args_is_help=True, add_completion=False)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")]
_MONTH = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")
_GAP = "  "


@credits_app.command("list", epilog="Example: sla credits list --month 2026-05 --with-credit")
def list_(
    tenant: Annotated[str | None, typer.Option(help="Only this tenant.")] = None,
    month: Annotated[str | None, typer.Option(metavar="YYYY-MM", help="Only this month.")] = None,
    status: Annotated[
        Literal["provisional", "final", "adjusted"] | None, typer.Option(help="Only statements with this status.")
    ] = None,
    with_credit: Annotated[bool, typer.Option("--with-credit", help="Only months with a credit above zero.")] = False,
    claimable: Annotated[
        bool, typer.Option("--claimable", help="Only credits that are paid if claimed now, and were not claimed.")
    ] = False,
    as_json: AsJson = False,
    brokers: Brokers = None,
    prefix: Prefix = None,
) -> None:
    """List the latest statement of each tenant's month: availability, credit, and until when it can be claimed.

    Without a terminal, values are separated by tabs, after a line of their names; with --json each line is the data of
    a credit.statement event.
    """
    from cli.credits.months import tenant_months

    _check_month(month)
    settings = settings_of(brokers, prefix)
    found = [
        each
        for each in tenant_months(settings, tenant, month)
        if status in {None, each.terms.status} and (each.terms.credit > 0 or not with_credit)
    ]
    if claimable:
        found = _claimable(settings, found)
    if as_json:
        for each in found:
            _print_json(each)
        return
    _print(found)
    if not found:
        typer.echo("there are no such months", err=True)


@credits_app.command(epilog="Example: sla credits show acme 2026-05")
def show(
    tenant: Annotated[str, typer.Argument(metavar="TENANT", help="The tenant's id.")],
    month: Annotated[str, typer.Argument(metavar="MONTH", help="YYYY-MM, in the time zone of the contract.")],
    as_json: AsJson = False,
    brokers: Brokers = None,
    prefix: Prefix = None,
) -> None:
    """Show a month's latest statement with its arithmetic, each line from those above it."""
    from cli.credits.month_view import month_lines
    from cli.credits.months import tenant_months
    from streams.time_source import SystemTimeSource

    _check_month(month)
    settings = settings_of(brokers, prefix)
    found = tenant_months(settings, tenant, month)
    if not found:
        wrong_use(f"there is no statement of {safe(tenant)} for {month}; `sla credits list` lists all")
    if as_json:
        _print_json(found[0])
        return
    policy = settings.load_policies().exact(*found[0].terms.policy[:2])
    console = plain_console()
    for line in month_lines(found[0], policy, SystemTimeSource().now(), console.width if console.is_terminal else 0):
        console.print(line, soft_wrap=True)


def _claimable(settings: Settings, months: Sequence[MonthStatement]) -> list[MonthStatement]:
    """Those with a credit that a claim of now would issue, and nothing else does."""
    from streams.time_source import SystemTimeSource

    now = SystemTimeSource().now()
    open_ = [each for each in months if each.terms.credit > 0 and now <= (each.terms.claimable_until or 0)]
    open_ = _unpaid_without_claim(settings, open_)
    claims = applied_contract_log(settings).claims if open_ else {}
    return [each for each in open_ if (each.terms.tenant, each.terms.month) not in claims]


def _unpaid_without_claim(settings: Settings, months: Sequence[MonthStatement]) -> list[MonthStatement]:
    """Those whose policy asks for a claim, or is not here."""
    policies = policies_here(settings) if months else None
    if policies is None:
        return list(months)
    judged_by = {each.terms.policy[:2] for each in months}
    known = {named: policies.exact(*named) for named in judged_by}
    if absent := sorted(" ".join(named) for named, policy in known.items() if policy is None):
        note = "their months are listed, though their credits may be paid without a claim"
        typer.echo(f"policies that are not here: {safe(', '.join(absent))}; {note}", err=True)
    automatic = {named for named, policy in known.items() if policy is not None and policy.credit.claim == "automatic"}
    return [each for each in months if each.terms.policy[:2] not in automatic]


def _print(months: Sequence[MonthStatement]) -> None:
    from cli.credits.month_view import HEADS, PLAIN_HEADS, cells, plain_cells

    console = plain_console()
    if not console.is_terminal:
        for row in (PLAIN_HEADS, *map(plain_cells, months)):
            typer.echo("\t".join(map(safe, row)))
        return
    if not months:
        return
    rows = [HEADS, *([safe(cell) for cell in cells(each)] for each in months)]
    widths = [max(cell_len(row[index]) for row in rows) for index in range(len(HEADS))]
    shown = [0, 1, 4, 3, 2, 5]  # by importance; the table keeps its order
    while len(shown) > 3 and sum(widths[index] + len(_GAP) for index in shown) - len(_GAP) > console.width:
        shown.pop()
    for number, row in enumerate(rows):
        parts = [set_cell_size(row[index], widths[index]) for index in sorted(shown)]
        console.print(_GAP.join(parts).rstrip(), style="bold" if number == 0 else None, soft_wrap=True)


def _print_json(month: MonthStatement) -> None:
    from streams.serde.cloudevents_json import format_line

    typer.echo(format_line(dict(month.data)))


def _check_month(month: str | None) -> None:
    if month is not None and not _MONTH.fullmatch(month):
        wrong_use(f"MONTH: {safe(month)} is not a month; write it as 2026-05")
