"""What happens when the reader of a command's output has closed it, as `head` does, or nobody can read it, or its
encoding lacks characters."""

from __future__ import annotations

import codecs
import io
import os
import sys
from contextlib import suppress
from typing import Any

#: What a shell reports of a program that SIGPIPE ended: the output is not whole, and that is nobody's mistake. It is
#: neither 0 nor 1, for a check that could not report its result has neither passed nor found something.
CLOSED_OUTPUT = 141


class _Output(io.FileIO):
    """Standard output. The first write to a closed pipe ends the command; later ones are discarded."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())
            raise SystemExit(CLOSED_OUTPUT) from None


class _Messages(io.FileIO):
    """Standard error. What can't be written there is lost, and changes nothing of what the command does: a full disk
    under a log must not stop a publication half way, nor hide its result."""

    def write(self, data: Any, /) -> int:
        written: int | None = None  # of a full one that another process lets nobody wait for
        with suppress(OSError):
            written = super().write(data)
        return len(data) if written is None else written


def _escaped(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2)), error.end


#: Characters that the encoding of a terminal lacks (EUC-JP, Latin-1) are printed as JSON escapes them: a title in
#: another script must not hide what came of a command.
_ESCAPES = "sla.escapes"
codecs.register_error(_ESCAPES, _escaped)


def open_standard_streams() -> None:
    """Give this process the output streams that its parent has closed: a connection to Kafka would get their numbers,
    and what is printed."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


def end_on_closed_output() -> None:
    """Let this process end with exit code 141 and without a message when the reader of its output is gone. What can't
    be written to standard error is left out.

    SIGPIPE stays ignored: it would also end a process whose network peer closes a connection.
    """
    errors, output = sys.stderr, sys.stdout
    if errors is sys.__stderr__ and isinstance(errors, io.TextIOWrapper):
        sys.stderr = io.TextIOWrapper(
            io.BufferedWriter(_Messages(errors.fileno(), "wb", closefd=False)),
            encoding=errors.encoding,
            errors=errors.errors,
            line_buffering=True,
        )
    if output is not sys.__stdout__ or not isinstance(output, io.TextIOWrapper):
        return  # replaced by whoever calls us as a library
    raw = _Output(output.fileno(), "wb", closefd=False)
    errors_of = _ESCAPES if output.errors == "strict" else output.errors
    sys.stdout = io.TextIOWrapper(
        io.BufferedWriter(raw), encoding=output.encoding, errors=errors_of, line_buffering=output.line_buffering
    )
