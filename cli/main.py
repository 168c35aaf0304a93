"""The `sla` command: which subcommands there are. Each is imported only when it is called, so that `--help` is fast."""

from __future__ import annotations

import importlib
import logging
import os
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

from cli.support.exits import one_line


class Command(NamedTuple):
    """A subcommand: where its function (or, of a group, its Typer app) is, what it does, an example."""

    where: str
    does: str
    example: str


#: In the order of the help. To add a command, add its line.
COMMANDS = {
    "demo": Command("cli.demo.command:demo", "Show the whole product on this machine.", "sla demo"),
    "up": Command("cli.local.up:up", "Run broker and worker on this machine.", "sla up --data .sla/up"),
    "simulate": Command(
        "cli.replay.simulate:simulate",
        "Run recorded events through the rules; no broker, no clock.",
        "sla simulate examples/outage.jsonl --until 2026-05-10T00:00:00Z",
    ),
    "what-if": Command(
        "cli.replay.what_if:what_if",
        "Compare two policies over recorded events.",
        "sla what-if --from-topics --policy candidate.yaml --against scalr-emergency",
    ),
    "verify": Command(
        "cli.replay.verify:verify",
        "Recompute statements from their evidence.",
        "sla verify statements.jsonl --from-topics",
    ),
    "publish": Command("cli.events.publish:publish", "Send events to Kafka.", "sla publish incidents.jsonl --backfill"),
    "tail": Command(
        "cli.events.tail:tail",
        "Show events as they arrive.",
        "sla tail --json incident-events contract-events --from-beginning --until-idle 5 > history.jsonl",
    ),
    "report": Command(
        "cli.reports.report:report",
        "Show availability, credits and breaches.",
        "sla report --tenant acme --month 2026-01 --format html > acme.html",
    ),
    "rejected": Command(
        "cli.events.rejected:rejected_app", "Look at input that was rejected.", "sla rejected list --code invalid"
    ),
    "contracts": Command(
        "cli.contracts.terms:contracts_app",
        "Bring contract terms in from a file; look at those that hold.",
        "sla contracts import contracts.csv --dry-run",
    ),
    "maintenance": Command(
        "cli.contracts.maintenance:maintenance_app", "Announce and cancel maintenance windows.", "sla maintenance list"
    ),
    "claim": Command(
        "cli.contracts.claim:claim", "Claim a tenant's credit of a month.", "sla claim acme 2026-04 --who customer:pat"
    ),
    "policy": Command(
        "cli.policy.commands:policy_app",
        "Check policy files, show policies, compare two, list those in use.",
        "sla policy show scalr-emergency",
    ),
    "topics": Command(
        "cli.kafka_io.topics:topics_app",
        "Create the topics, compare them with what is declared, document them.",
        "sla topics show",
    ),
    "bench": Command("bench.throughput:bench", "Measure a worker's speed.", "sla bench --events 300000 --rounds 3"),
    "intake": Command(
        "cli.services.intake:intake_app",
        "Take incidents in over HTTP, or test how requests are mapped.",
        "sla intake test notification.json --source prometheus",
    ),
    "notify": Command(
        "cli.services.notify:notify_app",
        "Deliver alerts to PagerDuty, Slack and webhooks, or test how they are routed.",
        "sla simulate examples/outage.jsonl | sla notify test - --routes examples/notify.yaml",
    ),
    "worker": Command(
        "cli.services.worker:worker", "Run a worker until it is told to stop.", "SLA_BROKERS=kafka:9092 sla worker"
    ),
}


class LazyGroup(TyperGroup):
    """Lists COMMANDS from the table; imports the one that runs."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        entry = COMMANDS.get(cmd_name)
        return None if entry is None else TyperCommand(cmd_name, help=entry.does)

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, _, rest = super().resolve_command(ctx, args)
        return name, None if name is None else load(name), rest

    def invoke(self, ctx: Any) -> Any:
        try:
            with one_line():
                try:
                    return super().invoke(ctx)
                finally:
                    sys.stdout.flush()
        except BrokenPipeError:  # whoever read our output has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit from None


def load(name: str) -> Any:
    """The command as declared in its module. Raises KeyError for one that there is not."""
    entry = COMMANDS[name]
    module, attribute = entry.where.split(":")
    found: typer.Typer | Callable[..., Any] = getattr(importlib.import_module(module), attribute)
    if isinstance(found, typer.Typer):
        command = typer.main.get_command(found)
        command.epilog = f"Example: {entry.example}"
    else:
        single = typer.Typer(add_completion=False)
        single.command(name, epilog=f"Example: {entry.example}")(found)
        command = typer.main.get_command(single)
    command.name = name
    return command


app = typer.Typer(add_completion=False, cls=LazyGroup, no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback(epilog="Example: sla simulate examples/outage.jsonl --until 2026-05-10T00:00:00Z")
def sla() -> None:
    """Guaranteed support times and uptime, kept honest: events in, alerts and service credits out."""


def main() -> None:
    """Run the command line of this process; exits."""
    logging.getLogger("kafka").addHandler(logging.NullHandler())
    logging.getLogger("kafka").propagate = False
    app()
