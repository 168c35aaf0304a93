"""`sla maintenance schedule|cancel|list`: windows that downtime does not count in (R23)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from cli.support.author import WhoOption, named_by
from cli.support.console import print_rows
from cli.support.contract_log import applied_contract_log, decided
from cli.support.exits import wrong_use
from cli.support.options import Brokers, Prefix, settings_of
from cli.support.references import policies_here, reference_warnings, references
from cli.support.waiting import AsJson, Wait, print_unchanged, publish_facts
from cli.support.warnings import Warnings, as_commands

if TYPE_CHECKING:
    from connect.contract_import.current_terms import ContractLog
    from streams.sla.events import Event


maintenance_app = typer.Typer(
    help="Schedule, cancel and list maintenance windows.", no_args_is_help=True, add_completion=False
)

_Id = Annotated[str, typer.Argument(metavar="ID", help="Id of the window; the latest fact of an id counts.")]


@maintenance_app.command(
    epilog="Example: sla maintenance schedule db-move --start 2026-06-07T01:00:00Z --end 2026-06-07T03:00:00Z "
    "--component api --tenant acme"
)
def schedule(
    maintenance: _Id,
    start: Annotated[str, typer.Option(help="First instant of the window, RFC 3339.")],
    end: Annotated[str, typer.Option(help="First instant after it, RFC 3339.")],
    component: Annotated[list[str], typer.Option(help="Component under maintenance; repeatable.")],
    tenant: Annotated[list[str] | None, typer.Option(help="Tenant concerned; repeatable.")] = None,
    platform: Annotated[bool, typer.Option("--platform", help="It concerns all tenants.")] = False,
    announced_at: Annotated[str | None, typer.Option(help="When it was announced, RFC 3339; default: now.")] = None,
    who: WhoOption = None,
    wait: Wait = None,
    as_json: AsJson = False,
    brokers: Brokers = None,
    prefix: Prefix = None,
) -> None:
    """Announce a window, or change one. Saying the same again publishes nothing."""
    from connect.actions.doubtful import window_warnings
    from connect.actions.windows import scheduling
    from connect.client.outgoing import checked_record
    from connect.kafka_io.contract_topic import SOURCE
    from streams.sla.instants import format_rfc3339
    from streams.time_source import SystemTimeSource

    if bool(tenant) == platform:
        wrong_use("whom does it concern? Give --tenant (again for each), or --platform for everybody")
    settings = settings_of(brokers, prefix)
    now = SystemTimeSource().now()
    announced = announced_at or format_rfc3339(now)
    data = {
        "maintenance_id": maintenance,
        "scope": "platform" if platform else "tenants",
        "tenant_ids": list(tenant or ()),
        "components": list(component),
        "start": start,
        "end": end,
        "announced_at": announced,
        **named_by(who),
    }
    event = {
        "specversion": "1.0",
        "id": "checked",
        "type": "maintenance.scheduled",
        "source": SOURCE,
        "subject": maintenance,
        "time": format_rfc3339(now),
        "data": data,
    }
    log, found = decided(
        settings,
        lambda log: scheduling(event, log.maintenance.get(maintenance), announced_now=announced_at is None),
        lambda found: found is None,
    )
    standing = log.maintenance.get(maintenance)
    if found is None:
        print_unchanged(f"{maintenance} is scheduled so already; nothing was published", as_json=as_json)
        return
    fact, plan = found
    names = references()
    names.add(checked_record(fact).event)
    policies, warnings = policies_here(settings), Warnings()
    warnings.tell(reference_warnings(names, policies, contracts=log.contracts.keys()))
    warnings.tell(as_commands(window_warnings(plan, standing, log.contracts, policies, now)))
    state = "scheduled" if standing is None else "changed"
    done = f"{maintenance} is {state}"
    publish_facts(
        settings,
        [fact],
        SOURCE,
        wait=wait,
        done=lambda _: typer.echo(done),
        as_json=as_json,
        warnings=warnings,
    )


@maintenance_app.command(epilog="Example: sla maintenance cancel db-move")
def cancel(
    maintenance: _Id,
    who: WhoOption = None,
    wait: Wait = None,
    as_json: AsJson = False,
    brokers: Brokers = None,
    prefix: Prefix = None,
) -> None:
    """Cancel a window: it excludes nothing, even afterwards. Saying it again publishes nothing."""
    from connect.actions.windows import cancelling
    from connect.kafka_io.contract_topic import SOURCE
    from streams.sla.instants import format_rfc3339
    from streams.time_source import SystemTimeSource

    settings = settings_of(brokers, prefix)
    event = {
        "specversion": "1.0",
        "id": "checked",
        "type": "maintenance.cancelled",
        "source": SOURCE,
        "subject": maintenance,
        "time": format_rfc3339(SystemTimeSource().now()),
        "data": {"maintenance_id": maintenance, **named_by(who)},
    }

    def cancelled(log: ContractLog) -> dict[str, object] | None:
        standing = log.maintenance.get(maintenance)
        if standing is None:
            wrong_use(f"there is no maintenance {maintenance!r}; `sla maintenance list` shows all")
        return cancelling(event, standing)

    _, fact = decided(settings, cancelled, lambda found: found is None)
    if fact is None:
        print_unchanged(f"{maintenance} is cancelled already; nothing was published", as_json=as_json)
        return
    done = f"{maintenance} is cancelled"
    publish_facts(settings, [fact], SOURCE, wait=wait, done=lambda _: typer.echo(done), as_json=as_json)


@maintenance_app.command("list", epilog="Example: sla maintenance list --json")
def list_(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
    brokers: Brokers = None,
    prefix: Prefix = None,
) -> None:
    """List all windows by their start; those that are cancelled come last."""

    settings = settings_of(brokers, prefix)
    log = applied_contract_log(settings)
    windows = [_window(event) for event in log.maintenance.values()]
    windows.sort(key=lambda window: (window["cancelled"], str(window.get("start")), str(window["maintenance_id"])))
    if as_json:
        for window in windows:
            typer.echo(json.dumps(window, ensure_ascii=False))
        return
    rows: list[tuple[object, ...]] = []
    for window in windows:
        if window["cancelled"]:
            rows.append((window["maintenance_id"], "cancelled", "", "", "", ""))
            continue
        lists = [window["components"], window["tenant_ids"] or ["everybody"]]
        words = [", ".join(each) for each in lists if isinstance(each, list)]
        rows.append((window["maintenance_id"], window["start"], window["end"], *words, window["announced_at"]))
    if rows:
        print_rows(("id", "start", "end", "components", "concerns", "announced"), rows)
    else:
        typer.echo("there is no maintenance")


def _window(event: Event) -> dict[str, object]:
    from streams.sla.events import MaintenanceScheduled
    from streams.sla.instants import format_rfc3339

    plan = event.payload
    if not isinstance(plan, MaintenanceScheduled):
        return {"maintenance_id": event.subject, "cancelled": True}
    return {
        "maintenance_id": event.subject,
        "cancelled": False,
        "scope": plan.scope,
        "tenant_ids": list(plan.tenant_ids),
        "components": list(plan.components),
        "start": format_rfc3339(plan.start),
        "end": format_rfc3339(plan.end),
        "announced_at": format_rfc3339(plan.announced_at),
    }
