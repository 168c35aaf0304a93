"""How the differences of two policies are printed."""

from __future__ import annotations

import json

import typer

from cli.events.record_view import safe
from streams.policy.diff import policy_changes
from streams.sla.policy import Policy


def print_changes(old: Policy, new: Policy, *, as_json: bool) -> bool:
    """Print what differs, for people or programs; whether anything does."""
    changes = policy_changes(old, new)
    if as_json:
        told = {"old": old.as_data(), "new": new.as_data(), "changes": [change._asdict() for change in changes]}
        typer.echo(json.dumps(told, ensure_ascii=False, indent=2))
        return bool(changes)
    typer.echo(f"{old.name} {old.version} → {new.name} {new.version}")
    for change in changes:
        typer.echo(safe(change.text))
    if not changes:
        typer.echo("no difference")
    return bool(changes)
