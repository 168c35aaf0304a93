"""`sla claim`: a tenant's claim to its credit of a month (R26)."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.support.exits import wrong_use
from cli.support.options import Brokers, Prefix, settings_of

_KINDS = ("customer", "support", "system", "monitor")


def claim(
    tenant: Annotated[str, typer.Argument(help="The tenant's id.")],
    month: Annotated[
        str, typer.Argument(metavar="MONTH", help="Calendar month in the time zone of the contract, YYYY-MM.")
    ],
    who: Annotated[
        str, typer.Option(metavar="KIND[:ID]", help="Who asks, such as customer:pat or support:kim.")
    ] = "customer",
    brokers: Brokers = None,
    prefix: Prefix = None,
) -> None:
    """Claim a tenant's credit for a month. A claim may be made before the month ends and, under the shipped policy,
    until 60 days after the final statement; a later one is rejected as too_late. Claiming again publishes nothing."""
    from cli.kafka_io.contract_topic import SOURCE, log_of, publish
    from cli.support.console import safe
    from connect.client.outgoing import checked_record
    from connect.contract_import.diff import fact_id
    from streams.sla.instants import format_rfc3339
    from streams.time_source import SystemTimeSource

    kind, colon, name = who.partition(":")
    if kind not in _KINDS or (colon and not name):
        wrong_use(f"--who: expected one of {', '.join(_KINDS)}, with an id or without: customer:pat")
    settings = settings_of(brokers, prefix)
    event = {
        "specversion": "1.0",
        "id": fact_id("credit.claimed", tenant, month),
        "type": "credit.claimed",
        "source": SOURCE,
        "subject": tenant,
        "time": format_rfc3339(SystemTimeSource().now()),
        "data": {"tenant_id": tenant, "month": month, "who": {"kind": kind, **({"id": name} if name else {})}},
    }
    checked_record(event)
    log = log_of(settings)
    if tenant not in log.contracts:
        wrong_use(f"there is no contract of {safe(tenant)}; `sla contracts list` shows all tenants")
    if (earlier := log.claims.get((tenant, month))) is not None:
        typer.echo(f"{month} was claimed at {format_rfc3339(earlier.time)}; nothing was published")
        return
    publish(settings, [event])
    typer.echo(f"credit of {month} is claimed for {safe(tenant)}")
