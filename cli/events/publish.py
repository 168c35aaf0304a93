"""`sla publish`: publishes JSON lines to Kafka and waits for the acknowledgements."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.support.exits import WRONG_USE
from cli.support.lines import arriving_lines, check_readable
from cli.support.options import Brokers, Prefix, settings_of
from cli.support.progress import counting


def publish(
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="File of JSON lines; - for standard input.")],
    backfill: Annotated[bool, typer.Option("--backfill", help="Mark all events as history being loaded.")] = False,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Publish valid lines after an invalid one as well.")
    ] = False,
    brokers: Brokers = None,
    prefix: Prefix = None,
) -> None:
    """Publish events, one CloudEvents object per line, and wait until the broker has acknowledged all of them.

    Each line is checked before it is sent. An invalid line is reported with its number; nothing after it is sent.

    Exit code 2: a line was invalid, or Kafka is not available.
    """
    from cli.events.publish_lines import BadLine, publish_lines
    from streams.schema_registry.schema_source import writing_frame
    from streams.schema_registry.subjects import INPUT_TYPES
    from streams.serde.input_checks import untimely
    from streams.time_source import SystemTimeSource

    settings = settings_of(brokers, prefix)
    check_readable([file])
    clock, limits = SystemTimeSource(), settings.time_limits()

    def tell(bad: BadLine) -> None:
        typer.echo(f"{file}:{bad}", err=True)

    with counting("events published") as one:
        published = publish_lines(
            arriving_lines(file),
            settings.bootstrap(),
            settings.topic_prefix,
            backfill=backfill,
            keep_going=keep_going,
            security=settings.aiokafka_security(),
            framed=writing_frame(settings.schema_registry(), settings.topic_prefix, INPUT_TYPES),
            check=lambda event: untimely(event, clock.now(), limits),
            on_line=one,
            on_bad=tell,
        )
    count = f"{published.acknowledged:,} event{'' if published.acknowledged == 1 else 's'} published"
    if not published.bad:
        typer.echo(count, err=True)
        return
    bad = published.bad[0].number
    after = f"{len(published.bad):,} bad" if keep_going else f"stopped at line {bad}, nothing after it was sent"
    typer.echo(f"{count}; {after}", err=True)
    raise typer.Exit(WRONG_USE)
