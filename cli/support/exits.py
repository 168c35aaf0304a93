"""How commands end: exit codes, and one clear line for what a user can put right."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import typer

from streams.errors import SlaError

FOUND = 1
WRONG_USE = 2


def wrong_use(message: str) -> NoReturn:
    """End with exit code 2 and one line on standard error."""
    typer.echo(message, err=True)
    raise typer.Exit(WRONG_USE)


@contextmanager
def one_line() -> Iterator[None]:
    """What the product knows how to explain ends the command with exit code 2; anything else is a bug and shows."""
    try:
        yield
    except SlaError as error:
        wrong_use(str(error))
