"""`sla what-if`: recorded history under two policies, and what differs for each tenant."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cli.support.exits import wrong_use
from cli.support.options import Brokers, FromTopics, Prefix, check_from_topics, chosen_format, instant_of, settings_of
from streams.lines import STDIN, check_readable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streams.settings import Settings
    from streams.sla.policy import Policies, Policy


def what_if(
    policy: Annotated[str, typer.Option(metavar="NAME[@VERSION]|FILE", help="The policy to try.")],
    events: Annotated[
        list[str] | None,
        typer.Argument(metavar="EVENTS…|-", help="Files of JSON lines, read in this order; - for standard input."),
    ] = None,
    from_topics: FromTopics = False,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="NAME[@VERSION]|FILE",
            help="The policy to compare with; default: the deployed one of the same name, else the default policy.",
        ),
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="Run up to this RFC 3339 instant; default: the last arrival.")
    ] = None,
    backfill: Annotated[bool, typer.Option("--backfill", help="Treat all events as history being loaded.")] = False,
    format_: Annotated[Literal["table", "json", "csv"], typer.Option("--format", help="Output format.")] = "table",
    json_too: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    policies: Annotated[Path | None, typer.Option(help="Directory of <name>/<version>.yaml.")] = None,
    brokers: Brokers = None,
    prefix: Prefix = None,
) -> None:
    """Show, per tenant, which breaches and credits recorded events have under one policy but not under the other.

    Each policy is applied to the contracts on either plan and to platform-wide incidents. Breaches are those that are
    not retracted at the end; credits are those of each month by then, claimed or not: of a closed month as its latest
    statement has it, of an open one as it stands. Months whose guarantee is met under one policy alone are named.
    --from-topics reads the input topics up to their current end, which gives the same result as the lines of
    `sla tail --json`.
    """
    from cli.kafka_io.topic_history import history_of
    from cli.replay.unknown_fields import unknown_fields_refused
    from cli.replay.what_if_formats import print_tables
    from cli.support.progress import progress
    from streams.replay.what_if_files import as_csv, as_json
    from streams.replay.what_if_run import ComparisonJob, run

    format_ = chosen_format(format_, as_json=json_too)
    names = events or []
    _check_events(names, from_topics=from_topics)
    check_from_topics(from_topics=from_topics, brokers=brokers, prefix=prefix)
    settings = settings_of(brokers, prefix, needs_brokers=from_topics)
    end = None if until is None else instant_of("--until", until)
    (old, old_label), (new, new_label) = sides(settings, policy, against, policies)
    with history_of(names, settings, from_topics=from_topics) as history, unknown_fields_refused(history.names):
        found = run(
            ComparisonJob(history.names, old, new, settings.time_limits(), end, backfill),
            progress=lambda total: progress("bytes compared", total=total),
        )
    if found.lines == found.rejected:
        _no_events(names, found.rejected)
    found = replace(found, lines=found.lines + history.undecodable, rejected=found.rejected + history.undecodable)
    if format_ == "table":
        print_tables(found, old_label, new_label)
        return
    text = as_csv(found) if format_ == "csv" else as_json(found, old_label, new_label)
    typer.get_binary_stream("stdout").write(text.encode())


def _no_events(names: list[str], rejected: int) -> None:
    """Nothing was compared. Files like that are a mistake; topics may still be empty."""
    if not names:
        typer.echo("note: the input topics have no event that can be applied, so nothing was compared", err=True)
        return
    refused = f"; lines refused: {rejected:,}, `sla simulate` says why" if rejected else ""
    wrong_use(f"{', '.join(names)}: no event to compare{refused}; allowed: input events, as `sla tail --json` prints")


def _check_events(names: list[str], *, from_topics: bool) -> None:
    if from_topics and names:
        wrong_use("events come from files or from the topics: give EVENTS or --from-topics, not both")
    if not from_topics and not names:
        wrong_use("there are no events: give files of JSON lines, - for standard input, or --from-topics")
    check_readable(names)
    if names.count(STDIN) > 1:
        wrong_use("standard input (-) can be read only once")


def sides(
    settings: Settings, wanted: str, against: str | None, root: Path | None
) -> tuple[tuple[Policies, str], tuple[Policies, str]]:
    """The deployment with the old policy and with the new one, and what to call them. Raises SettingsError."""
    from streams.config_files.problems import PolicyError
    from streams.policy.load import default_policies_dir, load_policies
    from streams.replay.what_if_result import replacing

    tree = root or settings.policies or default_policies_dir()
    try:
        deployed = load_policies(tree)
    except PolicyError as error:
        wrong_use(str(error))
    new = versions_of(wanted, deployed)
    if against is None:
        same = any(one.name == new[0].name for one in deployed) and wanted != new[0].name
        against = new[0].name if same else settings.default_policy
    old = versions_of(against, deployed)
    names = {old[0].name, new[0].name}
    return (
        (replacing(deployed, old, names), _label(old, against)),
        (replacing(deployed, new, names), _label(new, wanted)),
    )


def versions_of(wanted: str, deployed: Sequence[Policy]) -> list[Policy]:
    """The versions that a file, a name or NAME@VERSION means. Ends the command when there are none."""
    from cli.policy.commands import is_file
    from streams.config_files.problems import PolicyError
    from streams.policy.load import load_policy

    if is_file(wanted):
        try:
            return [load_policy(Path(wanted))]
        except PolicyError as error:
            wrong_use(str(error))
        except OSError as error:
            wrong_use(f"{wanted} can't be read: {error.strerror}")
    name, _, version = wanted.partition("@")
    named = [one for one in deployed if one.name == name]
    if not named:
        known = ", ".join(sorted({one.name for one in deployed}))
        wrong_use(f"there is no policy {name!r}; there are: {known}, or write a file's path")
    chosen = [one for one in named if version in {"", one.version}]
    if not chosen:
        wrong_use(f"{name} has no version {version!r}; there are: {', '.join(one.version for one in named)}")
    return chosen


def _label(versions: list[Policy], wanted: str) -> str:
    name = versions[0].name
    label = (
        f"{name} {versions[0].version}" if len(versions) == 1 else f"{name}, {len(versions)} versions by their dates"
    )
    return label if wanted.partition("@")[0] == name else f"{label} ({wanted})"
