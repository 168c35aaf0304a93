"""What happens when the reader of a command's output has closed it, as `head` does."""

from __future__ import annotations

import io
import os
import sys
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


def end_on_closed_output() -> None:
    """Let this process end with exit code 141 and without a message when the reader of its output is gone.

    SIGPIPE stays ignored: it would also end a process whose network peer closes a connection.
    """
    old = sys.stdout
    if old is not sys.__stdout__ or not isinstance(old, io.TextIOWrapper):
        return  # replaced by whoever calls us as a library
    raw = _Output(old.fileno(), "wb", closefd=False)
    sys.stdout = io.TextIOWrapper(
        io.BufferedWriter(raw), encoding=old.encoding, errors=old.errors, line_buffering=old.line_buffering
    )
