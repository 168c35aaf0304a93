"""`sla contracts erase`: takes a tenant's names and texts out of state and later outputs (R29)."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.support.author import WhoOption, author
from cli.support.contract_log import decided
from cli.support.exits import FOUND, wrong_use
from cli.support.options import Brokers, Prefix, settings_of
from cli.support.waiting import AsJson, Wait, print_unchanged, publish_facts


def erase(
    tenant: Annotated[str, typer.Argument(help="The tenant's id.")],
    reason: Annotated[str, typer.Option(help="Why, such as the number of the request.")],
    who: WhoOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Erase without typing the id again.")] = False,
    wait: Wait = None,
    as_json: AsJson = False,
    brokers: Brokers = None,
    prefix: Prefix = None,
) -> None:
    """Erase a tenant: its names and texts vanish from state, the board and later outputs; it goes by a pseudonym there.
    This can't be undone. The input topics keep what they have. Asks for the id again; with --json give --yes.
    Erasing again publishes nothing. Exit code 1: not published."""
    from cli.support.console import safe
    from connect.actions.build import as_json as json_of
    from connect.client.outgoing import checked_record
    from connect.contract_import.diff import fact_id
    from connect.kafka_io.contract_topic import SOURCE
    from streams.sla.instants import format_rfc3339
    from streams.time_source import SystemTimeSource

    acting = author(who)
    if as_json and not yes:
        wrong_use("--json asks no question; give --yes too")
    settings = settings_of(brokers, prefix)
    event = {
        "specversion": "1.0",
        "id": fact_id("tenant.erased", tenant),
        "type": "tenant.erased",
        "source": SOURCE,
        "subject": tenant,
        "time": format_rfc3339(SystemTimeSource().now()),
        "data": {"tenant_id": tenant, "who": json_of(acting), "reason": reason},
    }
    checked_record(event)
    log, erased = decided(settings, lambda log: tenant in log.erased, bool)
    if erased:
        print_unchanged(f"{safe(tenant)} was erased before; nothing was published", as_json=as_json)
        return
    if tenant not in log.contracts:
        wrong_use(f"there is no contract of {safe(tenant)}; `sla contracts list` shows all tenants")
    if not settings.pseudonym_key:
        typer.echo("warning: SLA_PSEUDONYM_KEY is not set here; the workers need one (docs/operations.md)", err=True)
    if not yes and typer.prompt(f"erase {safe(tenant)} for good? Type its id again", err=True) != tenant:
        typer.echo("nothing was published", err=True)
        raise typer.Exit(FOUND)
    publish_facts(
        settings, [event], SOURCE, wait=wait, done=lambda _: typer.echo(f"{safe(tenant)} is erased"), as_json=as_json
    )
