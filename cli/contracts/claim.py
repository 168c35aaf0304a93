"""`sla claim`: a tenant's claim to its credit of a month (R26)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cli.support.contract_log import decided
from cli.support.exits import FOUND, wrong_use
from cli.support.options import Brokers, Prefix, settings_of
from cli.support.references import policies_here
from cli.support.waiting import AsJson, Wait, print_unchanged, publish_facts
from cli.support.warnings import Warnings, as_commands

if TYPE_CHECKING:
    from streams.settings import Settings

_KINDS = ("customer", "support", "system", "monitor")


def claim(
    tenant: Annotated[str, typer.Argument(help="The tenant's id.")],
    month: Annotated[
        str, typer.Argument(metavar="MONTH", help="Calendar month in the time zone of the contract, YYYY-MM.")
    ],
    who: Annotated[
        str, typer.Option(metavar="KIND[:ID]", help="Who asks, such as customer:pat or support:kim.")
    ] = "customer",
    yes: Annotated[bool, typer.Option("--yes", help="Claim a credit of 0.00 without confirmation.")] = False,
    wait: Wait = None,
    as_json: AsJson = False,
    brokers: Brokers = None,
    prefix: Prefix = None,
) -> None:
    """Claim a tenant's credit for a month. A claim may be made before the month ends and, under the shipped policy,
    until 60 days after the final statement; a later one is rejected as too_late. Claiming again publishes nothing."""
    from cli.support.console import safe
    from connect.actions.claims import claim_id, earlier_claim
    from connect.actions.doubtful import claim_warnings
    from connect.actions.outcome import FormProblem, Unchanged
    from connect.client.outgoing import checked_record
    from connect.kafka_io.contract_topic import SOURCE
    from streams.sla.instants import format_rfc3339
    from streams.time_source import SystemTimeSource

    kind, colon, name = who.partition(":")
    if kind not in _KINDS or (colon and not name):
        wrong_use(f"--who: expected one of {', '.join(_KINDS)}, with an id or without: customer:pat")
    settings = settings_of(brokers, prefix)
    now = SystemTimeSource().now()
    event = {
        "specversion": "1.0",
        "id": claim_id(tenant, month),
        "type": "credit.claimed",
        "source": SOURCE,
        "subject": tenant,
        "time": format_rfc3339(now),
        "data": {"tenant_id": tenant, "month": month, "who": {"kind": kind, **({"id": name} if name else {})}},
    }
    checked_record(event)
    log, earlier = decided(
        settings, lambda log: earlier_claim(log, tenant, month), lambda found: isinstance(found, Unchanged)
    )
    match earlier:
        case Unchanged(reason):
            unchanged = f"{month} was claimed at {reason.values['at']}; nothing was published"
            print_unchanged(unchanged, as_json=as_json)
            return
        case FormProblem():
            wrong_use(f"there is no contract of {safe(tenant)}; `sla contracts list` shows all tenants")
    amount = _amount(settings, tenant, month, yes=yes, ask=not as_json)
    policies, warnings = policies_here(settings), Warnings()
    if policies is not None:
        lateness, stated = settings.time_limits().lateness, amount != ""
        history = log.contracts[tenant]
        found = claim_warnings(tenant, month, history, policies, now, lateness=lateness, stated=stated)
        warnings.tell(as_commands(found))
    claimed = f"credit of {month} is claimed for {safe(tenant)}" + (f": {amount}" if amount else "")
    publish_facts(
        settings,
        [event],
        SOURCE,
        wait=wait,
        done=lambda _: typer.echo(claimed),
        as_json=as_json,
        warnings=warnings,
    )


def _amount(settings: Settings, tenant: str, month: str, *, yes: bool, ask: bool) -> str:
    """What the latest statement of the month grants, with its revision; empty without a statement. Ends the command
    when the claim would be rejected; asks when there is nothing to claim by now (R26)."""
    from cli.reports.report import read_report
    from cli.support.console import safe
    from connect.actions.claims import ClaimedStatement, statement_problem
    from streams.money import formatted
    from streams.sla.events import Money
    from streams.time_source import SystemTimeSource

    found = read_report(settings, tenant, [month], ("credits",)).statements
    if not found:
        return ""
    row = found[0]
    credit = Money(row.credit_minor, row.currency)
    statement = ClaimedStatement(row.status, row.revision, credit, row.claimable_until)
    problem = statement_problem(statement, tenant, month, SystemTimeSource().now())
    amount = f"{formatted(row.credit_minor, row.currency)} (revision {row.revision}, {row.status})"
    if problem is None:
        return amount
    if problem.code == "claim_late":
        wrong_use(
            f"credit of {month} could be claimed until {problem.values['until']}; a claim now is rejected too_late"
        )
    typer.echo(f"the credit of {month} for {safe(tenant)} is {amount}", err=True)
    if not yes and not ask:
        wrong_use("--json asks no question; give --yes too to claim it nevertheless; nothing was published")
    if not yes and not typer.confirm("claim it nevertheless, in case of a correction?", err=True):
        typer.echo("nothing was published", err=True)
        raise typer.Exit(FOUND)
    return amount
