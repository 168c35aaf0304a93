"""`--wait`: commands that publish input report what the workers made of it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Annotated

import typer

from cli.support.console import safe
from cli.support.exits import FOUND

if TYPE_CHECKING:
    from connect.actions.input_results import InputResultReader
    from connect.kafka_io.batches import SentRange
    from streams.settings import Settings

#: How long the workers may take.
TIMEOUT_S = 30.0
_MOST_LISTED = 20

Wait = Annotated[
    bool | None,
    typer.Option("--wait/--no-wait", help="Report what workers made of the input; default: on a terminal."),
]


def results_reader(settings: Settings, wait: bool | None) -> AbstractContextManager[InputResultReader | None]:
    """To be entered before anything is published; None when the command is not to wait."""
    from connect.actions.input_results import InputResultReader

    return InputResultReader(settings) if (sys.stdout.isatty() if wait is None else wait) else nullcontext()


def report_results(
    reader: InputResultReader | None,
    sent: Sequence[SentRange],
    settings: Settings,
    *,
    required: bool,
    backfill: bool = False,
    timeout_s: float | None = None,
    echo: Callable[[str], None] = lambda line: typer.echo(line, err=True),
) -> bool:
    """Wait for the results of published input and print them. False when some input was rejected or, where waiting was
    `required`, when no worker has read all of it in time."""
    if reader is None or not sent:
        return True
    timeout_s = TIMEOUT_S if timeout_s is None else timeout_s
    found = reader.wait(sent, timeout_s)
    parts = [f"{found.accepted:,} accepted", f"{len(found.rejected):,} rejected"]
    if found.unread:
        parts.append(f"{found.unread:,} not read within {timeout_s:g} s: is a worker of {settings.app_id} running?")
    echo(", ".join(parts))
    for each in found.rejected[:_MOST_LISTED]:
        event = f" (id {safe(each.event_id)})" if each.event_id is not None else ""
        echo(f"  {each.topic}/{each.partition}/{each.offset}{event}: {each.code}: {safe(each.message)}")
    if len(found.rejected) > _MOST_LISTED:
        echo(f"  and {len(found.rejected) - _MOST_LISTED:,} more: `sla rejected list`")
    if backfill and found.accepted:
        idle = _in_words(settings.backfill_quiet)
        echo(f"alerts and statements of this history follow when no more of it has arrived for {idle}")
    return not (found.rejected or (found.unread and required))


def publish_facts(
    settings: Settings,
    events: Iterable[Mapping[str, object]],
    source: str,
    *,
    wait: bool | None,
    done: Callable[[int], None],
) -> None:
    """Publish contract facts, call `done` with their number, and report their results. Ends the command with
    exit code 1 when one was rejected. Raises ClientError, BrokerProblem."""
    from connect.kafka_io.contract_topic import publish

    with results_reader(settings, wait) as results:
        sent = publish(settings, events, source)
        done(len(sent))
        if not report_results(results, sent, settings, required=wait is True):
            raise typer.Exit(FOUND)


def _in_words(micros: int) -> str:
    from streams.policy.diff import span

    return span(micros)
