"""Where commands print tables: nothing is cut; a row that the terminal has no room for is printed line by line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

#: What a table needs beside its cells: spaces around each and between them, and the edge.
_PADDING, _EDGES = 3, 1
#: Texts of wide characters have no spaces between words: they fold anywhere, but not into narrower columns than this.
_WIDE_TEXT = 12
#: A cell up to this long, such as an amount, an instant or a state, is never folded.
_WHOLE = 28
#: Piped tables have one line for each row, however long.
_PIPED_WIDTH = 100_000


def plain_console() -> Console:
    """Standard output for tables and lines whose texts come from outside. NO_COLOR and COLUMNS are respected."""
    from rich.console import Console

    console = Console(markup=False, highlight=False, emoji=False)
    return console if console.is_terminal else Console(markup=False, highlight=False, emoji=False, width=_PIPED_WIDTH)


def print_rows(
    heads: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    title: str | None = None,
    right: Sequence[str] = (),
    last_bold: bool = False,
) -> None:
    """Print rows as a table whose columns in `right` are aligned to the right; control characters are replaced.

    Sentences fold where the terminal is narrow; words such as ids, amounts and instants do not. Where these have no
    room, each row becomes lines of `head: value`, so that ids can be copied.
    """
    from rich.cells import cell_len

    texts = [[_lines_safe(cell) for cell in row] for row in rows]
    console = plain_console()
    widths = _widths(heads, texts, console.width)
    if widths is not None:
        console.print(_table(heads, texts, widths, title, right, last_bold=last_bold))
        return
    if title is not None:
        console.print(f"{title}\n", soft_wrap=True)
    margin = max(map(cell_len, heads)) + 2
    for row in texts:
        for head, cell in zip(heads, row, strict=True):
            if cell:
                label = f"{head}:" if head else ""
                console.print(label + " " * (margin - cell_len(label)) + cell, soft_wrap=True)
        console.print("")


def _widths(heads: Sequence[str], rows: Sequence[Sequence[str]], available: int) -> list[int] | None:
    """The columns' widths: what they need, or where that is too much, at least their longest word and their longest
    short cell. None where even that is too much. A column of single words keeps its width."""
    from rich.cells import cell_len

    columns = [[head, *(row[place] for row in rows)] for place, head in enumerate(heads)]
    needed = [max(cell_len(line) for cell in column for line in cell.split("\n")) for column in columns]

    def word_width(word: str) -> int:
        return len(word) if cell_len(word) == len(word) else min(cell_len(word), _WIDE_TEXT)

    least = [
        max(
            [word_width(word) for word in " ".join(column).split()]
            + [cell_len(line) for cell in column for line in cell.split("\n") if cell_len(line) <= _WHOLE],
            default=0,
        )
        for column in columns
    ]
    room = available - sum(least) - _PADDING * len(columns) - _EDGES
    if room < 0:
        return None
    missing = [want - have for want, have in zip(needed, least, strict=True)]
    share = min(1.0, room / max(sum(missing), 1))
    return [have + int(more * share) for have, more in zip(least, missing, strict=True)]


def _table(
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    widths: Sequence[int],
    title: str | None,
    right: Sequence[str],
    *,
    last_bold: bool,
) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for head, width in zip(heads, widths, strict=True):
        table.add_column(head, justify="right" if head in right else "left", overflow="fold", width=width)
    for number, row in enumerate(rows, 1):
        table.add_row(*row, style="bold" if last_bold and number == len(rows) else None)
    return table


def _lines_safe(cell: object) -> str:
    """A cell's text; its own line breaks remain."""
    return "\n".join(map(safe, str(cell).split("\n")))


def safe(text: object) -> str:
    """A text from outside, which must not steer the terminal."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in str(text))
