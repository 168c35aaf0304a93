"""`sla demo`: the whole product on this machine, with real history first and an accelerated incident live."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cli.demo.live import play
from cli.demo.open_incidents import claimable_month_lines, open_incident_lines
from cli.demo.summary import print_history
from cli.embedded_kafka.node_files import BrokerError, free_port
from cli.events.publish_lines import publish_lines
from cli.kafka_io.follower import Follower
from cli.local.services import LocalBoard
from cli.local.stack import Stack, StackError
from cli.replay.outcome import Outcome, disagreements, outcome_of
from streams.installed_files import shipped
from streams.policy.load import default_policies_dir, load_policies
from streams.replay.simulate import simulate
from streams.sla.policy import Policies
from streams.time_source import SystemTimeSource

DEFAULT_POLICY = "code-hosting"
OUTPUT_TOPICS = ("incidents", "alerts", "credits", "rejected")
_HISTORY = ("contracts.jsonl", "code-hosting-2022-2024.jsonl")
_IDLE_S = 5
_SETTINGS = {
    "SLA_DEFAULT_POLICY": DEFAULT_POLICY,
    "SLA_BACKFILL_QUIET": f"PT{_IDLE_S}S",
    "SLA_MARK_EVERY": "PT1S",
    "SLA_SESSION_TIMEOUT": "PT6S",
    "SLA_SCHEMA_REGISTRY_URL": "",  # it shows all there is on this machine
}
#: With --keep: the board is to show the incidents of the history, which ended years ago.
_KEEP_SETTINGS = {"SLA_RETAIN_CLOSED": "P3650D", "SLA_RETAIN_MARKERS": "P3650D", "SLA_BOARD_RETENTION": "P3650D"}
_TIMEOUT_S = 90.0


def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave it running, with the board, until Ctrl-C.")] = False,
    data: Annotated[Path | None, typer.Option("--data", help="Data directory; default: a temporary one.")] = None,
    live: Annotated[bool, typer.Option("--live/--no-live", help="Show an accelerated incident at the end.")] = True,
) -> None:
    """Show the whole product on this machine: a real Kafka, real incidents, alerts and credits."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    started = time.monotonic()
    try:
        _run(console, data, keep=keep, live=live)
    except (BrokerError, StackError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(2) from error
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    console.print(f"\nAll of it in {time.monotonic() - started:.0f} s.")


def _run(console: Console, data: Path | None, *, keep: bool, live: bool) -> None:
    console.print("[bold]1. A real Kafka broker, the topics and one worker[/bold]")
    began = time.monotonic()
    environment = _SETTINGS | _KEEP_SETTINGS if keep else _SETTINGS
    with Stack(data, environment=environment) as stack:
        with _telling(console, "stopping the worker and Kafka"):
            stack.apply_topics()
            stack.start_worker()
            console.print(f"   Apache Kafka at {stack.bootstrap}, worker ready after {time.monotonic() - began:.1f} s")
            lines = list(history())
            with Follower(stack.bootstrap, [f"sla.{topic}" for topic in OUTPUT_TOPICS]) as follower:
                console.print(f"\n[bold]2. {len(lines):,} real events of 2022–2024 through Kafka[/bold]")
                outcome, seconds = _load(console, stack, follower, lines)
                print_history(console, outcome, seconds, len(lines))
                if live:
                    console.print("\n[bold]3. Live, with seconds for hours[/bold]")
                    play(console, stack, follower)
        if keep:
            _keep(console, stack)


@contextmanager
def _telling(console: Console, what: str) -> Iterator[None]:
    """Print what happens after Ctrl-C, which takes some seconds."""
    try:
        yield
    except KeyboardInterrupt:
        console.print(f"\n{what}")
        raise


def _keep(console: Console, stack: Stack) -> None:
    """Open some incidents, start the board and stay until Ctrl-C."""
    now = SystemTimeSource().now()
    publish_lines(claimable_month_lines(now), [stack.bootstrap], backfill=True)
    publish_lines(open_incident_lines(now), [stack.bootstrap])
    settings = _SETTINGS | _KEEP_SETTINGS
    with LocalBoard(stack.bootstrap, stack.broker.data_dir, free_port(), environment=settings) as board:
        console.print(f"\n[bold]board[/bold]        {board.url}")
        console.print("             an incident breaches within three minutes: watch it on the first page")
        console.print("             northwind can claim a credit: see Tenants")
        console.print(*board.how_to_sign_in(), sep="\n", highlight=False, soft_wrap=True)
        console.print("for sla      export SLA_BROKERS=" + stack.bootstrap)
        console.print("Broker, worker and board stay up. Ctrl-C stops them, within ten seconds.")
        with _telling(console, "stopping the board, the worker and Kafka"):
            while stack.worker_code() is None and board.code() is None:
                time.sleep(0.5)
        worker_runs = stack.worker_code() is None
    raise StackError(f"the board ended; see {board.log}" if worker_runs else f"the worker ended; see {stack.log}")


def history() -> Iterator[str]:
    """The lines of examples/data: contracts, then incidents."""
    folder = shipped("examples", "data")
    for name in _HISTORY:
        with (folder / name).open(encoding="utf-8") as lines:
            yield from lines


def _load(console: Console, stack: Stack, follower: Follower, lines: list[str]) -> tuple[Outcome, float]:
    """Publish the history and follow the outputs until they are those that simulation gives."""
    policies = Policies.of(load_policies(default_policies_dir()), DEFAULT_POLICY)
    expected = outcome_of(simulate(lines, policies, until=SystemTimeSource().now(), backfill=True))
    outcome = Outcome()
    began = time.monotonic()
    with console.status("publishing") as status:
        publish_lines(lines, [stack.bootstrap], backfill=True)
        published = time.monotonic()
        incidents_done: float | None = None
        while time.monotonic() - began < _TIMEOUT_S:
            for event in follower.poll(0.2):
                outcome.add(event)
            if incidents_done is None and outcome.closed.keys() >= expected.closed.keys():
                incidents_done = time.monotonic()
            status.update(
                f"{len(outcome.closed):,} of {len(expected.closed):,} incidents decided, "
                f"{len(outcome.statements):,} of {len(expected.statements):,} tenant-months stated"
            )
            if incidents_done is not None and len(outcome.statements) >= len(expected.statements):
                break
    console.print(
        f"   published and acknowledged in {published - began:.1f} s, "
        f"decided after {(incidents_done or time.monotonic()) - began:.1f} s,\n"
        f"   months stated after {time.monotonic() - began:.1f} s (a load counts as over after {_IDLE_S} s of silence)"
    )
    differing = disagreements(expected, outcome)
    if differing:
        raise StackError(f"simulation and Kafka disagree in {len(differing)} points, first: {differing[0]}")
    console.print("   [green]simulation without a broker gives the same breaches, verdicts and amounts[/green]")
    return outcome, (incidents_done or time.monotonic()) - began
