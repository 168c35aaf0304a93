"""Where commands print tables: as wide as the terminal, or wide and unfolded when piped; texts are never markup."""

from __future__ import annotations

from rich.console import Console

_PIPED_WIDTH = 240


def plain_console() -> Console:
    """Standard output for tables and lines whose texts come from outside."""
    console = Console(markup=False, highlight=False, emoji=False)
    return console if console.is_terminal else Console(markup=False, highlight=False, emoji=False, width=_PIPED_WIDTH)


def safe(text: object) -> str:
    """A text from outside, which must not steer the terminal."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in str(text))
