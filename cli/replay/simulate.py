"""`sla simulate`: recorded events in, output events out, by the rules alone (R30, R31)."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.support.progress import counting
from streams.errors import SettingsError
from streams.lines import check_readable, counted_lines

if TYPE_CHECKING:
    from streams.settings import Settings
    from streams.sla.policy import Policies


def simulate(
    events: Annotated[
        list[str],
        typer.Argument(metavar="EVENTS…|-", help="Files of JSON lines, read in this order; - for standard input."),
    ],
    policy: Annotated[
        str | None,
        typer.Option(metavar="NAME|FILE", help="Default policy; a file also replaces all versions of its name."),
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="Run up to this RFC 3339 instant; default: the last arrival.")
    ] = None,
    backfill: Annotated[bool, typer.Option("--backfill", help="Treat all events as history being loaded.")] = False,
    states: Annotated[bool, typer.Option("--states", help="Then print the final state of each incident.")] = False,
    policies: Annotated[Path | None, typer.Option(help="Directory of <name>/<version>.yaml.")] = None,
) -> None:
    """Print the outputs of recorded events as JSON lines. The same input gives the same output, byte for byte.

    A line that can't be applied gives an output of type sla.rejected with its number, counted over all files. A field
    that its event does not have ends the command with exit code 2.
    Time limits and the default policy come from the environment (SLA_…), as for a worker.
    """
    from cli.replay.unknown_fields import unknown_fields_refused
    from cli.support.options import instant_of, settings_of
    from streams.replay.simulate import simulate as run
    from streams.serde.cloudevents_json import format_line

    settings = settings_of(needs_brokers=False)
    end = None if until is None else instant_of("--until", until)
    chosen = choose_policies(settings, policy, policies)
    check_readable(events)
    write = typer.get_binary_stream("stdout").write
    with unknown_fields_refused(events), counting("events read", quiet=sys.stdout.isatty()) as one:
        lines = counted_lines(events, one)
        limits = settings.time_limits()
        for output in run(lines, chosen, until=end, backfill=backfill, time_limits=limits, states=states):
            write(format_line(output).encode() + b"\n")


def choose_policies(settings: Settings, wanted: str | None, root: Path | None) -> Policies:
    """The policies of a directory with `wanted` as the default: a name among them, or a file, which then replaces all
    versions of its name. Raises SettingsError with every mistake in them."""
    from streams.config_files.problems import PolicyError
    from streams.policy.load import default_policies_dir, load_policies, load_policy
    from streams.sla.policy import Policies, UnknownPolicyError

    tree = root or settings.policies or default_policies_dir()
    try:
        found = load_policies(tree)
        default = wanted or settings.default_policy
        if wanted is not None and _is_file(wanted):
            own = load_policy(Path(wanted))
            found = [other for other in found if other.name != own.name] + [own]
            default = own.name
        return Policies.of(found, default)
    except (PolicyError, UnknownPolicyError) as error:
        raise SettingsError(str(error)) from error
    except OSError as error:
        raise SettingsError(f"{wanted or tree} can't be read: {error.strerror}") from error


def _is_file(name: str) -> bool:
    return name.endswith((".yaml", ".yml")) or "/" in name or Path(name).is_file()
