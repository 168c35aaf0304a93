"""`sla partitions`: how far each incident partition is processed, and which of them statements wait for (R26)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from cli.support.exits import FOUND
from cli.support.options import Brokers, Prefix, settings_of
from streams.time_source import SystemTimeSource
from streams.worker_progress import BlockedInput, PartitionState, statements_until

if TYPE_CHECKING:
    from streams.settings import Settings


def partitions(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    brokers: Brokers = None,
    prefix: Prefix = None,
) -> None:
    """Show the watermark and the unread input of each incident partition, which ones statements wait for, and input
    that nobody can read because a transaction of its publisher has been open for a minute.

    A final statement is published only when every incident partition has passed its instant. A partition that is halted
    or has no worker therefore delays the statements of all tenants.

    Exit code 1: statements wait for a partition, or input can't be read.
    """
    settings = settings_of(brokers, prefix)
    found, blocked_inputs = read_partitions(settings)
    if as_json:
        typer.echo(json.dumps(_as_object(found, blocked_inputs)))
    else:
        _print(found, blocked_inputs)
    if blocked_inputs or any(each.waited_for for each in found):
        raise typer.Exit(FOUND)


def read_partitions(settings: Settings) -> tuple[list[PartitionState], list[BlockedInput]]:
    """The state of every incident partition, by number, and input that can't be read. Raises BrokerProblem."""
    from connect.kafka_io.progress_reader import ProgressReader

    with ProgressReader(settings, SystemTimeSource()) as reader:
        return list(reader.read().partitions), reader.blocked_inputs()


def _as_object(found: list[PartitionState], blocked_inputs: list[BlockedInput]) -> dict[str, object]:
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
        "open_transactions": [{**each._asdict(), "since": format_rfc3339(each.since)} for each in blocked_inputs],
    }


def _print(found: list[PartitionState], blocked_inputs: list[BlockedInput]) -> None:
    from cli.support.console import print_rows
    from cli.support.open_transactions import blocked_text, describe_producers
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
    now = SystemTimeSource().now()
    for each in blocked_inputs:
        typer.echo(f"{blocked_text(each, now)}; {describe_producers(each)}")
