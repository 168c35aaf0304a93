"""Misspelled fields in a recorded history end a command with the file and the line, as in `sla publish`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from cli.support.exits import wrong_use
from streams.lines import STDIN, read_lines
from streams.replay.history import UnknownFieldError


@contextmanager
def unknown_fields_refused(names: Sequence[str]) -> Iterator[None]:
    """Ends the command with exit code 2 where a line of these files has a field that its event does not have."""
    try:
        yield
    except UnknownFieldError as error:
        wrong_use(f"{_place(names, error.number)}: invalid: {error.message}")


def _place(names: Sequence[str], number: int) -> str:
    """`FILE:LINE` of a line that is counted over all files."""
    if len(names) > 1 and STDIN in names:  # standard input can't be read again to count its lines
        return f"line {number} of all files"
    *before, last = names
    for name in before:
        count = sum(1 for _ in read_lines(name))
        if number <= count:
            return f"{name}:{number}"
        number -= count
    return f"{last}:{number}"
