"""`sla intake` runs the HTTP service; `sla intake test` shows what a recorded request would be published as."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.support.exits import FOUND, one_line, wrong_use
from cli.support.options import Brokers, Prefix, settings_of
from cli.support.quick_imports import quick_imports

Mapping = Annotated[
    Path | None, typer.Option("--mapping", help="The mapping file; default: SLA_INTAKE_MAPPING, or intake.yaml.")
]

intake_app = typer.Typer(invoke_without_command=True, add_completion=False)


@intake_app.callback(epilog="Example: sla intake --mapping intake.yaml --port 8088")
def intake(
    ctx: typer.Context,
    mapping: Mapping = None,
    host: Annotated[str | None, typer.Option(help="Address; default: SLA_INTAKE_HOST, or 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option(help="Port; default: SLA_INTAKE_PORT, or 8088.")] = None,
    brokers: Brokers = None,
    prefix: Prefix = None,
) -> None:
    """Serve webhooks, CloudEvents and plain JSON until SIGTERM or Ctrl-C; 202 means that Kafka has acknowledged.

    Exit code 2: the settings or the mapping file are wrong.
    """
    if ctx.invoked_subcommand is not None:
        if mapping is not None:
            ctx.obj = mapping
        return
    with quick_imports():
        from connect.intake.service import serve
        from connect.intake.settings import read_intake_settings
        from streams.config_files.problems import PolicyError
        from streams.logs import configure_logs
        from streams.service_process import run_process

    with one_line():
        kafka = settings_of(brokers, prefix)
        given = {
            name: value for name, value in (("mapping", mapping), ("host", host), ("port", port)) if value is not None
        }
        configure_logs(json=None if kafka.log_format is None else kafka.log_format == "json", level=kafka.log_level)
        try:
            code = run_process(serve(kafka, read_intake_settings(**given)))
        except (PolicyError, OSError) as error:
            wrong_use(str(error))
    raise typer.Exit(code)


@intake_app.command("test", epilog="Example: sla intake test notification.json --source prometheus --explain")
def dry_run(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The body of a request, as sent, or a folder of them.")],
    source: Annotated[
        str | None,
        typer.Option("--source", help="Its source in the mapping file; default: the only source of its format."),
    ] = None,
    path: Annotated[
        str | None,
        typer.Option("--path", help="Address of plain JSON or of a heartbeat, such as /v1/incidents/inc-42/resolved."),
    ] = None,
    mapping: Mapping = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show for each entry of the mapping what it gives, or why nothing.")
    ] = False,
    against: Annotated[
        Path | None, typer.Option("--against", help="Another mapping file: show only what differs from it.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object for each request.")] = False,
    header: Annotated[
        list[str] | None,
        typer.Option("--header", help="A header that the mapping reads: 'X-GitHub-Event: issues'; may be repeated."),
    ] = None,
) -> None:
    """Show what a request's body would be published as, or why not. Needs no service, no broker and no secret.

    Exit code 1: at least one item would be rejected; with --against: at least one request differs.
    """
    from cli.services.intake_dry_run import DryRunOptions, bodies_in, compare, headers_of, show
    from connect.intake.mapping_file import load_mapping
    from connect.intake.settings import read_intake_settings
    from streams.config_files.problems import PolicyError

    if explain and against is not None:
        wrong_use("--explain and --against are two views of a request; write one of them")
    with one_line():
        where, options = (
            mapping or ctx.obj or read_intake_settings().mapping,
            DryRunOptions(source, path, explain, as_json, headers_of(header or [])),
        )
        try:
            sources, bodies = load_mapping(where), bodies_in(file)
            fine = (
                show(where, sources, bodies, options)
                if against is None
                else compare(load_mapping(against), sources, bodies, options)
            )
        except PolicyError as error:
            wrong_use(str(error))
        except OSError as error:
            wrong_use(f"{error.filename} can't be read: {error.strerror}")
    if not fine:
        raise typer.Exit(FOUND)


@intake_app.command(epilog="Example: sla intake watch --url http://intake:8088 --last 50 --save requests")
def watch(
    url: Annotated[
        str | None, typer.Option("--url", help="Address of the intake; default: this machine, SLA_INTAKE_PORT or 8088.")
    ] = None,
    last: Annotated[int, typer.Option(help="How many of the last requests to begin with.", min=1, max=10_000)] = 20,
    once: Annotated[bool, typer.Option("--once", help="Print the last requests and end.")] = False,
    save: Annotated[
        Path | None, typer.Option("--save", help="Folder to write the bodies into, for `sla intake test FOLDER`.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object for each request.")] = False,
) -> None:
    """Show the last requests of a running intake and what became of each, then later ones. Ctrl-C ends it.

    The intake keeps its last requests while it has SLA_INTAKE_OPERATOR_TOKEN; this command sends the same token.
    """
    import json

    from cli.services.intake_watch import IntakeRequests, followed, lines
    from cli.services.intake_watch import save as save_body
    from connect.intake.settings import read_intake_settings
    from streams.errors import SettingsError

    with one_line():
        settings = read_intake_settings()
        if settings.operator_token is None:
            raise SettingsError("set SLA_INTAKE_OPERATOR_TOKEN, here and at the intake, to the same token")
        requests = IntakeRequests(url or f"http://127.0.0.1:{settings.port}", settings.operator_token)
        try:
            for each in followed(requests, last, once=once):
                saved = save is None or save_body(each, save)
                if as_json:
                    typer.echo(json.dumps(each, ensure_ascii=False))
                    continue
                for line in lines(each):
                    typer.echo(line)
                if not saved:
                    typer.echo("  not saved: the intake has not kept its body")
        except KeyboardInterrupt:
            return
        except OSError as error:
            wrong_use(f"{error.filename} can't be written: {error.strerror}")
