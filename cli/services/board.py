"""`sla board`: serve the pages and the JSON API over the read model."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.support.exits import one_line, wrong_use
from cli.support.options import Brokers, Prefix, settings_of


def board(
    host: Annotated[str | None, typer.Option(help="Loopback address; default: SLA_BOARD_HOST, or 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option(help="Port; default: SLA_BOARD_PORT, or 8090.")] = None,
    database: Annotated[
        str | None,
        typer.Option(
            "--database", metavar="URL", help="Read model; default: SLA_BOARD_DATABASE_URL, or .sla/board.db."
        ),
    ] = None,
    brokers: Brokers = None,
    prefix: Prefix = None,
) -> None:
    """Serve the board at http://127.0.0.1:8090 until SIGTERM or Ctrl-C. It keeps what the topics say in a database of
    its own, which it makes when there is none.

    Only this machine can reach the board, as it has no sign-in yet.

    Exit code 2: the settings are wrong, or the address or the database can't be used.
    """
    import asyncio

    from board.service import serve
    from board.settings import read_board_settings
    from streams.config_files.problems import PolicyError
    from streams.logs import configure_logs

    with one_line():
        kafka = settings_of(brokers, prefix)
        options = {"host": host, "port": port, "database_url": database}
        given = {name: value for name, value in options.items() if value is not None}
        configure_logs(json=None if kafka.log_format is None else kafka.log_format == "json", level=kafka.log_level)
        try:
            code = asyncio.run(serve(kafka, read_board_settings(**given)))
        except (PolicyError, OSError) as error:
            wrong_use(str(error))
    raise typer.Exit(code)
