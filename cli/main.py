"""The `sla` command and the table of its subcommands. Each is imported only when it is called, so `--help` is fast."""

from __future__ import annotations

import errno
import importlib
import inspect
import logging
import os
import sys
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from typing import Annotated, Any, NamedTuple

import typer
from typer import _completion_shared
from typer.core import TyperCommand, TyperGroup

from cli.support.closed_output import end_on_closed_output, open_standard_streams
from cli.support.exits import WRONG_USE, one_line
from cli.support.quick_imports import quick_imports
from cli.support.terminations import end_as_ctrl_c_does, termination_code
from connect.kafka_io.slow_answers import tell_slow_answers


class Command(NamedTuple):
    """A subcommand: `module:attribute` of its function or Typer app, a one-line help, an example."""

    target: str
    summary: str
    example: str


_CANNOT_WRITE = frozenset([errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO])
#: In the order of the help. To add a command, add its line.
COMMANDS = {
    "demo": Command("cli.demo.command:demo", "Run the whole product on this machine with sample data.", "sla demo"),
    "up": Command("cli.local.up:up", "Run broker, worker, intake and board on this machine.", "sla up --data .sla/up"),
    "simulate": Command(
        "cli.replay.simulate:simulate",
        "Apply the rules to recorded events, without a broker.",
        "sla simulate examples/outage.jsonl --until 2026-05-10T00:00:00Z",
    ),
    "what-if": Command(
        "cli.replay.what_if:what_if",
        "Compare two policies over recorded events.",
        "sla what-if --from-topics --policy candidate.yaml --against scalr-emergency",
    ),
    "verify": Command(
        "cli.replay.verify:verify",
        "Recompute credit statements and report differences.",
        "sla verify statements.jsonl --from-topics",
    ),
    "publish": Command(
        "cli.events.publish:publish", "Publish events to Kafka.", "sla publish incidents.jsonl --backfill"
    ),
    "tail": Command(
        "cli.events.tail:tail",
        "Print events as they arrive.",
        "sla tail --json incident-events contract-events --from-beginning --until-idle 5 > history.jsonl",
    ),
    "report": Command(
        "cli.reports.report:report",
        "Report availability, credits and breaches.",
        "sla report --tenant acme --month 2026-01 --format html > acme.html",
    ),
    "doctor": Command(
        "cli.doctor.command:doctor",
        "Check this deployment and say how to mend what is wrong.",
        "sla doctor --brokers kafka:9092",
    ),
    "settings": Command(
        "cli.settings.command:settings",
        "Show the settings of a process, and where each comes from.",
        "sla settings worker --set",
    ),
    "partitions": Command(
        "cli.reports.partitions:partitions",
        "Show how far each incident partition is processed.",
        "sla partitions --brokers kafka:9092",
    ),
    "incidents": Command(
        "cli.incidents.acting:incidents_app", "Look at incidents and act on them.", "sla incidents list --tenant acme"
    ),
    "credits": Command(
        "cli.credits.commands:credits_app",
        "List tenants' months and their credits.",
        "sla credits list --month 2026-05",
    ),
    "rejected": Command(
        "cli.events.rejected:rejected_app", "List, show and retry rejected input.", "sla rejected list --code invalid"
    ),
    "contracts": Command(
        "cli.contracts.terms:contracts_app",
        "Import contract terms from a file; list the current ones.",
        "sla contracts import contracts.csv --dry-run",
    ),
    "import": Command(
        "cli.history.commands:import_app",
        "Turn the history of a status page or of tickets into events.",
        "sla import tickets tickets.csv --mapping import.yaml",
    ),
    "maintenance": Command(
        "cli.contracts.maintenance:maintenance_app",
        "Schedule, cancel and list maintenance windows.",
        "sla maintenance list",
    ),
    "claim": Command(
        "cli.contracts.claim:claim", "Claim a tenant's credit for a month.", "sla claim acme 2026-04 --who customer:pat"
    ),
    "policy": Command(
        "cli.policy.commands:policy_app",
        "Check, show and compare policies; list those in use.",
        "sla policy show scalr-emergency",
    ),
    "topics": Command(
        "cli.kafka_io.topics:topics_app",
        "Create, compare and document the topics.",
        "sla topics show",
    ),
    "bench": Command(
        "bench.throughput:bench", "Measure the speed of a worker.", "sla bench --events 300000 --rounds 3"
    ),
    "intake": Command(
        "cli.services.intake:intake_app",
        "Accept incidents over HTTP, or test a mapping.",
        "sla intake test notification.json --source prometheus",
    ),
    "notify": Command(
        "cli.services.notify:notify_app",
        "Send alerts to PagerDuty, Slack and webhooks, or test routes.",
        "sla simulate examples/outage.jsonl | sla notify test - --routes examples/notify.yaml",
    ),
    "board": Command("cli.services.board:board_app", "Serve the board and its JSON API.", "sla board --port 8090"),
    "worker": Command(
        "cli.services.worker:worker", "Run a worker until it receives SIGTERM.", "SLA_BROKERS=kafka:9092 sla worker"
    ),
}


class LazyGroup(TyperGroup):
    """Lists the subcommands from COMMANDS and imports the one that runs."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        entry = COMMANDS.get(cmd_name)
        return None if entry is None else TyperCommand(cmd_name, help=entry.summary)

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            close = " or ".join(map(repr, get_close_matches(args[0], COMMANDS)))
            hint = f"Did you mean {close}?" if close else "`sla --help` lists the commands."
            ctx.fail(f"No such command {args[0]!r}. {hint}")
        name, _, rest = super().resolve_command(ctx, args)
        return name, None if name is None else load(name), rest

    def invoke(self, ctx: Any) -> Any:
        with one_line():
            return super().invoke(ctx)


def walk() -> Iterator[tuple[str, Any]]:
    """Every command and every group below it, by what people type after `sla`."""
    waiting = [(name, load(name)) for name in COMMANDS]
    while waiting:
        name, command = waiting.pop(0)
        yield name, command
        waiting += [(f"{name} {inner}", each) for inner, each in getattr(command, "commands", {}).items()]


def load(name: str) -> Any:
    """The command as declared in its module. Raises KeyError for an unknown name."""
    entry = COMMANDS[name]
    module, attribute = entry.target.split(":")
    with quick_imports():
        found: typer.Typer | Callable[..., Any] = getattr(importlib.import_module(module), attribute)
    if isinstance(found, typer.Typer):
        command = typer.main.get_command(found)
        command.epilog = f"Example: {entry.example}"
    else:
        single = typer.Typer(add_completion=False)
        single.command(name, epilog=f"Example: {entry.example}")(found)
        command = typer.main.get_command(single)
    command.name = name
    _unwrap_help(command)
    return command


def _unwrap_help(command: Any) -> None:
    """Let paragraphs of help fill the terminal: without it, lines break where the source does as well."""
    if command.help:
        paragraphs = inspect.cleandoc(command.help).split("\n\n")
        command.help = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
    for inner in getattr(command, "commands", {}).values():
        _unwrap_help(inner)


def _print_version(wanted: bool) -> None:
    if wanted:
        from cli.support.build import build_facts

        for name, value in build_facts().items():
            typer.echo(f"{name} {value}")
        raise typer.Exit


#: zsh loads the installed script by the first completion, which otherwise stays without an answer.
_ZSH_FIRST = '\nif [ "$funcstack[1]" = "_%(prog_name)s" ]; then %(complete_func)s "$@"; fi\n'
_completion_shared._completion_scripts["zsh"] += _ZSH_FIRST

app = typer.Typer(cls=LazyGroup, no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback(epilog="Example: sla simulate examples/outage.jsonl --until 2026-05-10T00:00:00Z")
def sla(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Print version, commit and Kafka clients, and end.",
            is_eager=True,
            callback=_print_version,
        ),
    ] = False,
) -> None:
    """Track support targets and uptime guarantees: events in, alerts and service credits out."""
    from streams.configuration.variables import check_variables

    with one_line():
        check_variables(os.environ)


def _say_slow(where: str) -> None:
    if not logging.getLogger().handlers:  # a service has its log, which says when Kafka gives no answer
        typer.echo(f"Kafka at {where} has not answered yet", err=True)


def main() -> None:
    """Run the command line of this process; exits."""
    logging.getLogger("kafka").addHandler(logging.NullHandler())
    logging.getLogger("kafka").propagate = False
    open_standard_streams()
    end_on_closed_output()
    end_as_ctrl_c_does()
    if sys.stderr.isatty():
        tell_slow_answers(_say_slow)
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
            if (code := termination_code()) is not None:
                sys.exit(code)
    except OSError as error:
        if error.errno not in _CANNOT_WRITE:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        typer.echo(f"can't write: {error.strerror}", err=True)
        sys.exit(WRONG_USE)
