"""`sla notify`: deliver alerts; `sla notify test`: show the requests; `sla notify parked`: undelivered messages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.services.notify_parked import parked_app
from cli.support.exits import FOUND, one_line, wrong_use
from cli.support.options import Brokers, Prefix, settings_of
from cli.support.quick_imports import quick_imports

if TYPE_CHECKING:
    from connect.notify.dry_run import DryRun
    from connect.notify.routing.rules import Routing

Routes = Annotated[
    Path | None, typer.Option("--routes", help="The routing file; default: SLA_NOTIFY_ROUTES, or notify.yaml.")
]

notify_app = typer.Typer(invoke_without_command=True, add_completion=False)
notify_app.add_typer(parked_app, name="parked")


@notify_app.callback(epilog="Example: SLA_BROKERS=kafka:9092 sla notify --routes notify.yaml")
def notify(
    ctx: typer.Context,
    routes: Routes = None,
    host: Annotated[str | None, typer.Option(help="Address of /ready; default: SLA_NOTIFY_HOST, or 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option(help="Port of /ready; default: SLA_NOTIFY_PORT, or 8089.")] = None,
    brokers: Brokers = None,
    prefix: Prefix = None,
) -> None:
    """Deliver alerts to PagerDuty, Slack and webhooks until SIGTERM or Ctrl-C.

    Exit code 2: the settings or the routing file are wrong.
    """
    if ctx.invoked_subcommand is not None:
        ctx.obj = routes
        return
    with quick_imports():
        from connect.notify.service import serve
        from connect.notify.settings import read_notify_settings
        from streams.config_files.problems import PolicyError
        from streams.logs import configure_logs
        from streams.service_process import run_process

    with one_line():
        kafka = settings_of(brokers, prefix)
        options = {"routes": routes, "host": host, "port": port}
        given = {name: value for name, value in options.items() if value is not None}
        configure_logs(json=None if kafka.log_format is None else kafka.log_format == "json", level=kafka.log_level)
        try:
            code = run_process(serve(kafka, read_notify_settings(**given)))
        except (PolicyError, OSError) as error:
            wrong_use(str(error))
    raise typer.Exit(code)


@notify_app.command(
    "test", epilog="Example: sla simulate examples/outage.jsonl | sla notify test - --routes notify.yaml"
)
def dry_run(
    ctx: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="Alerts as JSON lines, as `sla tail --json` has them.")],
    routes: Routes = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line of input.")] = False,
) -> None:
    """Show the requests that alerts would lead to, as if each were delivered at once. Needs no broker and no secret.

    Exit code 1: a line is no event.
    """
    from connect.notify.dry_run import DryRun
    from connect.notify.settings import read_notify_settings
    from streams.lines import read_lines
    from streams.serde.cloudevents_json import parse_line, to_json
    from streams.sla.events import Rejection

    bad = False
    with one_line():
        named = read_notify_settings().deployment or settings_of(None, None).topic_prefix
        run = DryRun(_routing(routes or ctx.obj), named)
        for number, line in enumerate(read_lines(file), 1):
            if not line.strip():
                continue
            parsed = parse_line(line)
            if isinstance(parsed, Rejection):
                bad = True
                wrong = {"line": number, "code": parsed.code, "message": parsed.message}
                text = f"line {number}: {parsed.code}: {parsed.message}"
                typer.echo(json.dumps(wrong, ensure_ascii=False) if as_json else text)
                continue
            if as_json:
                found = {"line": number, **_dry_run_object(run, to_json(*parsed))}
                typer.echo(json.dumps(found, ensure_ascii=False))
                continue
            for shown in _dry_run_lines(run, f"line {number}", to_json(*parsed)):
                typer.echo(shown)
    if bad:
        raise typer.Exit(FOUND)


def _dry_run_lines(run: DryRun, where: str, event: dict[str, object]) -> Iterator[str]:
    """The output for one event."""
    from connect.notify.triggers import page_trigger

    trigger = page_trigger(event)
    if isinstance(trigger, str):
        yield f"{where}: no notification: {trigger}"
        return
    heading = f"{where}: {trigger.type} of {trigger.incident}{trigger.clock and ', ' + trigger.clock}"
    deliveries = list(run.apply(trigger))
    if not deliveries:
        reason = "no route matches" if trigger.action == "trigger" else "no page of it is open"
        yield f"{heading}: no notification: {reason}"
    for each in deliveries:
        yield f"{heading}: {each.destination.name}: {each.message.action}, POST {each.request.url}"
        yield f"  {each.request.body.decode()}"


def _dry_run_object(run: DryRun, event: dict[str, object]) -> dict[str, object]:
    """The output for one event, for programs. `body` is the text of a request's body."""
    from connect.notify.triggers import page_trigger

    trigger = page_trigger(event)
    if isinstance(trigger, str):
        return {"event_type": event["type"], "incident": event["subject"], "requests": [], "ignored": trigger}
    requests = [
        {
            "destination": each.destination.name,
            "action": each.message.action,
            "method": "POST",
            "url": each.request.url,
            "body": each.request.body.decode(),
        }
        for each in run.apply(trigger)
    ]
    clock = trigger.clock or None
    return {"event_type": trigger.type, "incident": trigger.incident, "clock": clock, "requests": requests}


def _routing(given: Path | None) -> Routing:
    from connect.notify.service import read_routing
    from connect.notify.settings import read_notify_settings
    from streams.config_files.problems import PolicyError

    try:
        return read_routing(read_notify_settings(**({} if given is None else {"routes": given})))
    except PolicyError as error:
        return wrong_use(str(error))
    except OSError as error:
        return wrong_use(f"{error.filename} can't be read: {error.strerror}")
