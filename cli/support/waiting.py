"""`--wait`: commands that publish input report what the workers made of it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from cli.support.console import safe
from cli.support.exits import FOUND
from cli.support.progress import progress
from cli.support.warnings import Warnings
from streams.errors import SlaError

if TYPE_CHECKING:
    from connect.actions.input_results import InputResultReader, InputResults
    from connect.kafka_io.batches import SentRange
    from streams.settings import Settings

#: How long the workers may take until they read on.
TIMEOUT_S = 30.0
_MOST_LISTED = 20

Wait = Annotated[
    bool | None,
    typer.Option("--wait/--no-wait", help="Report what workers made of the input; default: on a terminal."),
]


#: `--json` of a command that publishes.
AsJson = Annotated[bool, typer.Option("--json", help="Print what came of it as one JSON object.")]


class ReportedResults(NamedTuple):
    """What the workers made of published input; `found` is None where nobody waited for it."""

    fine: bool
    found: InputResults | None
    stopped: BaseException | None = None
    """What ended the wait early: Ctrl-C, or Kafka's absence. It is raised once the result is printed."""

    def end(self) -> None:
        """End the command as what came of its input says."""
        if self.stopped is not None:
            raise self.stopped
        if not self.fine:
            raise typer.Exit(FOUND)

    def fields(self) -> dict[str, object]:
        """For programs: `outcome` is accepted, rejected (some of it), or not_read_yet; then the numbers, null where
        nobody waited, and each rejected input; `stopped` says what ended the wait early."""
        early = {} if self.stopped is None else {"stopped": _reason_of(self.stopped)}
        if self.found is None:
            return {"outcome": "not_read_yet", "accepted": None, "unread": None, "rejected": [], **early}
        outcome = "rejected" if self.found.rejected else "not_read_yet" if self.found.unread else "accepted"
        rejected = [
            {
                "topic": each.topic,
                "partition": each.partition,
                "offset": each.offset,
                "id": each.event_id,
                "code": each.code,
                "message": each.message,
            }
            for each in self.found.rejected
        ]
        return {
            "outcome": outcome,
            "accepted": self.found.accepted,
            "unread": self.found.unread,
            "rejected": rejected,
            **early,
        }


def _reason_of(stopped: BaseException) -> str:
    """What ended a command early, for programs."""
    return "interrupted" if isinstance(stopped, KeyboardInterrupt) else str(stopped)


def print_unchanged(reason: str, *, as_json: bool) -> None:
    """It is so already, and nothing was published; `reason` says it to people."""
    typer.echo(json.dumps({"outcome": "unchanged", "reason": reason}, ensure_ascii=False) if as_json else reason)


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
) -> ReportedResults:
    """Wait for the results of published input and print them. They are not fine when some input was rejected or, where
    waiting was `required`, when no worker has read on in time. Ctrl-C and what keeps Kafka from answering end
    the wait only: the input is published, and callers print that before they `end`."""
    if reader is None or not sent:
        return ReportedResults(fine=True, found=None)
    timeout_s = TIMEOUT_S if timeout_s is None else timeout_s
    try:
        with progress("events read by workers", total=sum(each.end - each.start for each in sent)) as read:
            found = reader.wait(sent, timeout_s, read)
    except (KeyboardInterrupt, SlaError) as stopped:
        echo("what workers make of it was not waited for")
        return ReportedResults(fine=True, found=None, stopped=stopped)
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
    return ReportedResults(fine=not (found.rejected or (found.unread and required)), found=found)


def publish_facts(
    settings: Settings,
    events: Iterable[Mapping[str, object]],
    source: str,
    *,
    wait: bool | None,
    done: Callable[[int], None],
    as_json: bool = False,
    about: Mapping[str, object] | None = None,
    warnings: Warnings | None = None,
) -> None:
    """Publish contract facts, call `done` with their number, and report their results; `as_json`: print the results
    with the events, or what they are `about`, and the `warnings` that were told, as one JSON object instead of `done`.
    Ends the command with exit code 1 when one was rejected. Raises ClientError, BrokerProblem; the object is printed
    then too where facts may be published."""
    from connect.client.errors import DeliveryFailed
    from connect.kafka_io.contract_topic import publish

    facts = list(events)
    results = ReportedResults(fine=True, found=None)
    with results_reader(settings, wait) as reader:
        try:
            sent = publish(settings, facts, source)
        except (KeyboardInterrupt, DeliveryFailed) as stopped:
            if isinstance(stopped, KeyboardInterrupt):
                again = "the same command again is safe, a fact counts once"
                typer.echo(f"interrupted: facts may have been published; {again}", err=True)
            results = results._replace(stopped=stopped)
        else:
            if not as_json:
                done(len(sent))
            results = report_results(reader, sent, settings, required=wait is True)
            if results.found is not None and any(each.code == "conflict" for each in results.found.rejected):
                # Ids are made of what facts say: another command has said it since this one looked.
                typer.echo("conflict: the same was said a moment before by another command, and that counts", err=True)
    if as_json:
        reported = (warnings or Warnings()).fields()
        what = {"events": facts} if about is None else about
        typer.echo(json.dumps({**results.fields(), **what, **reported}, ensure_ascii=False))
    results.end()


def _in_words(micros: int) -> str:
    from streams.policy.diff import span

    return span(micros)
