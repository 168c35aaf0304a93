"""`sla board`: serve the pages and the JSON API over the read model, or build the read model anew."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cli.services.board_tokens import tokens_app
from cli.support.exits import one_line, wrong_use
from cli.support.options import Brokers, Prefix, settings_of
from cli.support.quick_imports import quick_imports

if TYPE_CHECKING:
    from board.ingest.status import IngestStatus
    from board.settings import BoardSettings
    from streams.settings import Settings


board_app = typer.Typer(invoke_without_command=True, add_completion=False)
board_app.add_typer(tokens_app, name="tokens", help="Who may sign in with a token.")


@board_app.callback(epilog="Example: sla board --port 8090")
def board(
    ctx: typer.Context,
    host: Annotated[str | None, typer.Option(help="Address; default: SLA_BOARD_HOST, or 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option(help="Port; default: SLA_BOARD_PORT, or 8090.")] = None,
    database: Annotated[
        str | None,
        typer.Option(
            "--database", metavar="URL", help="Read model; default: SLA_BOARD_DATABASE_URL, or sqlite:///.sla/board.db."
        ),
    ] = None,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Empty the read model, build it anew from the topics, and end.")
    ] = False,
    brokers: Brokers = None,
    prefix: Prefix = None,
) -> None:
    """Serve the board at http://127.0.0.1:8090 until SIGTERM or Ctrl-C. It reads the topics into a database of its own,
    which it creates when there is none.

    Only this machine can reach the board, unless SLA_BOARD_SIGN_IN is proxy or oidc. `sla board tokens` says who may
    act.

    Exit code 2: the settings are wrong, or the address, the database or (for --rebuild) Kafka can't be used.
    """
    if ctx.invoked_subcommand is not None:
        return
    with quick_imports():
        from board.service import serve
        from board.settings import read_board_settings
        from streams.config_files.problems import PolicyError
        from streams.logs import configure_logs
        from streams.service_process import run_process

    with one_line():
        kafka = settings_of(brokers, prefix)
        options = {"host": host, "port": port, "database_url": database}
        settings = read_board_settings(**{name: value for name, value in options.items() if value is not None})
        configure_logs(json=None if kafka.log_format is None else kafka.log_format == "json", level=kafka.log_level)
        if rebuild:
            _rebuild(kafka, settings)
            return
        try:
            code = run_process(serve(kafka, settings))
        except (PolicyError, OSError) as error:
            wrong_use(str(error))
    raise typer.Exit(code)


def _rebuild(kafka: Settings, settings: BoardSettings) -> None:
    """Nothing is deleted while Kafka does not answer. Raises SlaError."""
    import asyncio

    from sqlalchemy.exc import DBAPIError

    from board.ingest.rebuild import rebuild
    from board.ingest.records import TOPICS
    from board.store.engine import open_engine
    from cli.support.progress import progress
    from connect.kafka_io.connection import partitions_of

    topics = [f"{kafka.topic_prefix}.{topic}" for topic in TOPICS]
    asyncio.run(partitions_of(kafka.bootstrap(), topics, kafka.aiokafka_security()))
    engine = open_engine(settings.database_url)
    reported: str | None = None

    with progress("records applied") as update:

        def show(status: IngestStatus) -> None:
            nonlocal reported
            update(status.applied)
            if status.failure != reported and status.total:
                reported = status.failure
                if reported is not None:
                    typer.echo(f"waiting: {reported}", err=True)

        try:
            built = rebuild(engine, kafka, retention=settings.retention, progress=show)
        except DBAPIError as error:
            wrong_use(f"the database {engine.url.render_as_string()}: {str(error.orig).strip().partition(chr(10))[0]}")
    typer.echo(f"read model built anew: {built.applied:,} records applied, {built.skipped:,} skipped")
