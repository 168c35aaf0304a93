"""`sla intake` runs the HTTP service; `sla intake test` shows what a recorded request would be published as."""

from __future__ import annotations

from codecs import BOM_UTF8
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.support.exits import FOUND, one_line, wrong_use
from cli.support.options import Brokers, Prefix, settings_of

if TYPE_CHECKING:
    from connect.intake.mapping.rules import Source
    from connect.intake.translate import Translation

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
    import asyncio

    from connect.intake.service import serve
    from connect.intake.settings import read_intake_settings
    from streams.config_files.problems import PolicyError
    from streams.logs import configure_logs

    with one_line():
        kafka = settings_of(brokers, prefix)
        given = {
            name: value for name, value in (("mapping", mapping), ("host", host), ("port", port)) if value is not None
        }
        configure_logs(json=None if kafka.log_format is None else kafka.log_format == "json", level=kafka.log_level)
        try:
            code = asyncio.run(serve(kafka, read_intake_settings(**given)))
        except (PolicyError, OSError) as error:
            wrong_use(str(error))
    raise typer.Exit(code)


@intake_app.command("test", epilog="Example: sla intake test notification.json --source prometheus")
def dry_run(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The body of a request, as sent.")],
    source: Annotated[
        str | None,
        typer.Option("--source", help="Its source in the mapping file; default: the only source of its format."),
    ] = None,
    path: Annotated[
        str | None, typer.Option("--path", help="Address of plain JSON, such as /v1/incidents/inc-42/resolved.")
    ] = None,
    mapping: Mapping = None,
) -> None:
    """Show what a request's body would be published as, or why not. Needs no service, no broker and no secret.

    Exit code 1: at least one item would be rejected.
    """
    from connect.intake.formats.registry import max_body_of
    from connect.intake.mapping_file import load_mapping
    from connect.intake.settings import read_intake_settings
    from streams.config_files.problems import PolicyError

    with one_line():
        where = mapping or ctx.obj or read_intake_settings().mapping
        try:
            sources, content = load_mapping(where), file.read_bytes()
        except PolicyError as error:
            wrong_use(str(error))
        except OSError as error:
            wrong_use(f"{error.filename} can't be read: {error.strerror}")
        sender, translation = _translate(sources, source, path, content)
        limit = max_body_of(sender, read_intake_settings().max_body)
        if len(content) > limit:
            typer.echo(f"as {sender.name} ({sender.format}):")
            typer.echo(f"refuse the request (413): the body has {len(content):,} bytes; at most {limit:,} are allowed")
            raise typer.Exit(FOUND)
    for line in describe(sender, translation):
        typer.echo(line)
    for warning in sender.warnings:
        typer.echo(f"{where}, {warning}", err=True)
    if translation.rejected:
        raise typer.Exit(FOUND)


def describe(source: Source, translation: Translation) -> list[str]:
    """The outcomes of a body, line by line: events in the JSON form, then what is ignored or rejected and why."""
    from streams.serde.cloudevents_json import format_line, to_json
    from streams.serde.codec import decode
    from streams.sla.events import Rejection

    lines = []
    for event in translation.events:
        lines.append(f"publish to {event.record.topic}: {event.event_type} of {event.subject}")
        decoded = decode(event.record.value)
        assert not isinstance(decoded, Rejection)
        lines.append(f"  {format_line(to_json(*decoded))}")
    for ignored in translation.ignored:
        lines.append(f"ignore {ignored.item or 'the request'}: {ignored.reason}")
    for rejected in translation.rejected:
        lines.append(f"reject {rejected.item or 'the request'} as {rejected.code}: {rejected.reason}")
    if translation.truncated:
        lines.append(f"missing: the sender left {translation.truncated} alerts out; set max_alerts: 0")
    if not lines:
        lines.append("nothing: the request contains no item")
    return [f"as {source.name} ({source.format}):", *lines]


def _translate(
    sources: dict[str, Source], name: str | None, path: str | None, content: bytes
) -> tuple[Source, Translation]:
    """What the service would publish. Raises typer.Exit where it is not clear who sends the body."""
    from connect.intake import translate
    from connect.intake.formats import cloudevents, rest
    from connect.intake.formats.registry import detect, format_of

    form = rest.FORMAT if path is not None else detect(content)
    if name is not None:
        chosen = sources.get(name) or wrong_use(
            f"--source: there is no source {name!r}; there are: {', '.join(sources)}"
        )
    else:
        fitting = [each for each in sources.values() if form is None or each.format == form.name]
        if len(fitting) != 1:
            names = ", ".join(each.name for each in fitting) or "none"
            wrong_use(f"which source sends it? write --source NAME; of that format there are: {names}")
        chosen = fitting[0]
    if format_of(chosen).translate is not None:
        return chosen, translate.webhook(chosen, content)
    if path is None:
        batch = content.removeprefix(BOM_UTF8).lstrip()[:1] == b"["
        media_type = cloudevents.BATCH if batch else cloudevents.STRUCTURED
        return chosen, translate.cloud_events(chosen, media_type, {}, content)
    return chosen, _plain_json(chosen, path, content)


def _plain_json(source: Source, path: str, content: bytes) -> Translation:
    from connect.intake import translate
    from connect.intake.formats import rest

    for route in rest.ROUTES:
        head, marker, tail = route.path.partition("{id}")
        middle = path.removeprefix(head).removesuffix(tail)
        if path == route.path or (marker and path == f"{head}{middle}{tail}" and middle and "/" not in middle):
            return translate.plain_json(source, route, middle if marker else None, {}, content)
    return wrong_use(f"--path: there is no address {path}; there are: {', '.join(route.path for route in rest.ROUTES)}")
