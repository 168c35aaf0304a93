"""`sla policy check|show|diff|seen`: mistakes in policy files, policies as customers read them, two of them compared,
versions that the log has seen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cli.support.console import print_rows, safe
from cli.support.exits import FOUND, wrong_use
from cli.support.options import Brokers, Prefix

if TYPE_CHECKING:
    from streams.policy.render import PolicyText
    from streams.sla.policy import Policy

policy_app = typer.Typer(
    help="Check, show and compare policies; list those in use.", no_args_is_help=True, add_completion=False
)


@policy_app.command(epilog="Example: sla policy check policies/scalr-emergency/1.yaml")
def check(
    paths: Annotated[list[Path], typer.Argument(help="Policy files, or directories of <name>/<version>.yaml.")],
    defaults: Annotated[
        bool, typer.Option("--defaults", help="Print each policy with all defaults filled in.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a file.")] = False,
) -> None:
    """Report every mistake with file, line, key and the allowed values. Exit code 1: a policy has problems."""
    from cli.policy.checked import check_files

    found = check_files([each for named in paths for each in _files(named)])
    for one in found:
        if as_json:
            typer.echo(json.dumps(one.as_object(defaults=defaults), ensure_ascii=False))
        else:
            one.print(defaults=defaults)
    if problems := sum(len(one.problems) for one in found):
        typer.echo(f"{problems} problem{'' if problems == 1 else 's'}", err=True)
        raise typer.Exit(FOUND)


@policy_app.command(epilog="Example: sla policy show scalr-emergency --lang ja")
def show(
    policy: Annotated[str, typer.Argument(metavar="NAME|FILE", help="Name of a policy, or a policy file.")],
    lang: Annotated[Literal["en", "ja"], typer.Option(help="Language: English or Japanese.")] = "en",
    version: Annotated[str | None, typer.Option(help="Version of a named policy; default: the latest.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object: the policy with its digest.")] = False,
    policies: Annotated[Path | None, typer.Option(help="Directory of <name>/<version>.yaml.")] = None,
) -> None:
    """Show severities, targets, components, guarantee and credits as customers read them."""
    from streams.policy.render import policy_text

    if version is not None and (is_file(policy) or "@" in policy):
        wrong_use(f"--version: {safe(policy)} is one version already; leave it out, or give the name of a policy")
    if version == "":
        wrong_use("--version: is empty; leave it out for the latest")
    found = _found(policy if version is None else f"{policy}@{version}", policies)
    if as_json:
        typer.echo(json.dumps({**found.as_data(), "digest": found.digest}, ensure_ascii=False))
    else:
        _print(policy_text(found, lang))


@policy_app.command(epilog="Example: sla policy diff scalr-emergency candidate.yaml")
def diff(
    old: Annotated[str, typer.Argument(metavar="OLD", help="NAME, NAME@VERSION or a policy file.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="NAME, NAME@VERSION or a policy file.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    policies: Annotated[Path | None, typer.Option(help="Directory of <name>/<version>.yaml.")] = None,
) -> None:
    """Show the differences between two policies in terms of the policy. Exit code 1: they differ."""
    sides = [_found(old, policies), _found(new, policies)]
    if _print_changes(*sides, as_json=as_json):
        raise typer.Exit(FOUND)


@policy_app.command(epilog="Example: sla policy seen --brokers kafka:9092")
def seen(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array.")] = False,
    policies: Annotated[Path | None, typer.Option(help="Directory of <name>/<version>.yaml.")] = None,
    brokers: Brokers = None,
    prefix: Prefix = None,
) -> None:
    """List the policy versions that decisions were made with, and whether this deployment still has each of them
    unchanged. Exit code 1: it does not."""
    from cli.policy.versions_in_use import print_seen

    if not print_seen(brokers, prefix, policies, as_json=as_json):
        raise typer.Exit(FOUND)


def _found(wanted: str, root: Path | None) -> Policy:
    from streams.config_files.problems import PolicyError
    from streams.policy.load import load_policy

    name, _, version = wanted.partition("@")
    try:
        return load_policy(Path(wanted)) if is_file(wanted) else _named(name, version or None, root)
    except PolicyError as error:
        wrong_use(str(error))
    except OSError as error:
        wrong_use(f"{wanted} can't be read: {error.strerror}")


def _files(path: Path) -> list[tuple[Path, bool]]:
    """Files to check, and whether each lies in a policies tree, where names must match the paths."""
    from streams.policy.load import policy_files

    if path.is_file():
        return [(path, False)]
    if not path.is_dir():
        wrong_use(f"there is no file {path}")
    inside = [path / child.name for child in path.iterdir() if child.suffix in {".yaml", ".yml"}]
    files = policy_files(path) + sorted(inside)
    if not files:
        wrong_use(f"there is no policy in {path}: policies are called <name>/<version>.yaml")
    return [(file, True) for file in files]


def is_file(name: str) -> bool:
    """Whether a policy is named by its file."""
    return name.endswith((".yaml", ".yml")) or "/" in name or Path(name).is_file()


def _named(name: str, version: str | None, root: Path | None) -> Policy:
    from streams.policy.load import default_policies_dir, policy_files, policy_of, read_document

    tree = root if root is not None else default_policies_dir()
    files = policy_files(tree)
    versions = [file for file in files if file.parent.name == name]
    if not versions:
        known = ", ".join(sorted({file.parent.name for file in files})) or "none"
        wrong_use(f"there is no policy {name!r} in {tree}; there are: {known}")
    chosen = [file for file in versions if version in {None, file.stem}]
    if not chosen:
        wrong_use(f"{name} has no version {version!r}; there are: {', '.join(file.stem for file in versions)}")
    loaded = [policy_of(read_document(file, in_tree=True)) for file in chosen]
    return max(loaded, key=lambda one: (one.effective_from is not None, one.effective_from or 0, one.version))


def _print(shown: PolicyText) -> None:
    typer.echo(f"{safe(shown.title)} - {safe(shown.reference)}\n")
    for table in (shown.severities, shown.components):
        print_rows(table.headers, table.rows, title=table.title)
    for promise in shown.promises:
        typer.echo(f"- {safe(promise)}")


def _print_changes(old: Policy, new: Policy, *, as_json: bool) -> bool:
    """Print what differs, for people or programs; whether anything does."""
    from streams.policy.diff import policy_changes

    changes = policy_changes(old, new)
    if as_json:
        data = {"old": old.as_data(), "new": new.as_data(), "changes": [change._asdict() for change in changes]}
        typer.echo(json.dumps(data, ensure_ascii=False, indent=2))
        return bool(changes)
    typer.echo(f"{old.name} {old.version} → {new.name} {new.version}")
    for change in changes:
        typer.echo(safe(change.text))
    if not changes:
        typer.echo("no difference")
    return bool(changes)
