"""What a command accepts and rarely is meant: told to people on standard error, and to programs in `--json`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import typer

if TYPE_CHECKING:
    from connect.actions.outcome import ActionWarning


class CommandWarning(NamedTuple):
    """One of them; programs tell them apart by `code`."""

    code: str
    message: str


def as_commands(warnings: Iterable[ActionWarning]) -> Iterable[CommandWarning]:
    """Warnings of actions as those of commands."""
    from cli.support.console import safe
    from connect.actions.texts import warning_text

    return (CommandWarning(each.code, safe(warning_text(each))) for each in warnings)


class Warnings:
    """Those of one command."""

    def __init__(self) -> None:
        self._found: list[CommandWarning] = []

    def tell(self, warnings: Iterable[CommandWarning]) -> None:
        """Print them, and keep them for `--json`."""
        for each in warnings:
            typer.echo(f"warning: {each.message}", err=True)
            self._found.append(each)

    def fields(self) -> dict[str, object]:
        """For programs."""
        return {"warnings": [each._asdict() for each in self._found]}
