"""`sla partitions`: how far each incident partition is processed, and which of them statements wait for (R26)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from cli.support.exits import FOUND
from cli.support.options import Brokers, Prefix, settings_of
from streams.time_source import SystemTimeSource
from streams.worker_progress import PartitionState, statements_until

if TYPE_CHECKING:
    from streams.settings import Settings


def partitions(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    brokers: Brokers = None,
    prefix: Prefix = None,
) -> None:
    """Show the watermark and the unread input of each incident partition, and which ones statements wait for.

    A final statement is published only when every incident partition has passed its instant. A partition that is halted
    or has no worker therefore delays the statements of all tenants.

    Exit code 1: statements wait for a partition.
    """
    settings = settings_of(brokers, prefix)
    found = read_partitions(settings)
    if as_json:
        typer.echo(json.dumps(_as_object(found)))
    else:
        _print(found)
    if any(each.waited_for for each in found):
        raise typer.Exit(FOUND)


def read_partitions(settings: Settings) -> list[PartitionState]:
    """The state of every incident partition, by number. Raises BrokerProblem."""
    from connect.kafka_io.progress_reader import ProgressReader

    with ProgressReader(settings, SystemTimeSource()) as reader:
        return list(reader.read().partitions)


def _as_object(found: list[PartitionState]) -> dict[str, object]:
    from streams.sla.instants import format_rfc3339

    oldest = statements_until(found)
    return {
        "statements_until": None if oldest is None else format_rfc3339(oldest),
        "partitions": [
            {
                "partition": each.partition,
                "watermark": None if each.watermark is None else format_rfc3339(each.watermark),
                "unread": each.unread,
                "waited_for": each.waited_for,
            }
            for each in found
        ],
    }


def _print(found: list[PartitionState]) -> None:
    from cli.support.console import print_rows
    from streams.sla.instants import format_rfc3339

    rows = [
        (
            each.partition,
            "none yet" if each.watermark is None else format_rfc3339(each.watermark),
            f"{each.unread:,}",
            "statements wait for it" if each.waited_for else "",
        )
        for each in found
    ]
    print_rows(("partition", "watermark", "unread input", ""), rows)
    oldest = statements_until(found)
    waited_for = ", ".join(str(each.partition) for each in found if each.waited_for)
    until = "no statement is possible yet" if waited_for else "no statement has been due yet"
    if oldest is not None:
        until = f"statements are possible up to {format_rfc3339(oldest)}"
    typer.echo(f"{until}; they wait for partition {waited_for}: see its worker's log" if waited_for else until)
