"""Writes log entries so that a pipe that nobody reads holds no service up: its entries are left out and counted."""

from __future__ import annotations

import io
import logging
import os
import select
import stat
from typing import TextIO

import structlog

#: A write of at most this many bytes to a pipe that is ready for it never waits (PIPE_BUF).
_PIECE = 4096
#: For so long an entry waits for its reader; while one is stuck, no further entry waits.
_WAIT_MS = 250


class LogOutput(logging.StreamHandler[TextIO]):
    """The output of a process. Where it is a file or a terminal, it is written as usual. A collector of logs that
    stops reading its pipe would hold up the whole process, for every entry waits for its write: so entries are left
    out until it reads again, and `log_entries_dropped` tells how many. `wait_ms`: how long an entry may wait."""

    def __init__(self, stream: TextIO, wait_ms: int = _WAIT_MS) -> None:
        super().__init__(stream)
        self._pipe = _pipe_of(stream)
        self._wait_ms = wait_ms
        self._stuck = False
        self._cut = False
        """Whether the last line was written in part."""
        self._dropped = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Write an entry, or leave it out."""
        if self._pipe is None:
            super().emit(record)
            return
        try:
            text = self.format(record) + self.terminator
            if self._dropped and self._ready(self._pipe):
                dropped, self._dropped = self._dropped, 0
                structlog.get_logger(__name__).warning("log_entries_dropped", count=dropped)
                self._dropped += dropped if self._dropped else 0  # the note may have been left out itself
            if not self._written(self._pipe, text.encode(errors="backslashreplace")):
                self._dropped += 1
        except Exception:
            self.handleError(record)

    def _written(self, pipe: int, line: bytes) -> bool:
        begun = False
        if self._cut:
            line = b"\n" + line
        while line:
            count = self._write_piece(pipe, line[:_PIECE])
            if not count:
                self._cut |= begun
                return False
            line, begun, self._cut = line[count:], True, False
        return True

    def _write_piece(self, pipe: int, piece: bytes) -> int:
        try:
            return os.write(pipe, piece) if self._ready(pipe) else 0
        except BlockingIOError:  # of a pipe that another process has set so
            return 0

    def _ready(self, pipe: int) -> bool:
        """Whether a piece can be written now, or soon."""
        poll = select.poll()
        poll.register(pipe, select.POLLOUT)
        self._stuck = not poll.poll(0 if self._stuck else self._wait_ms)
        return not self._stuck


def _pipe_of(stream: TextIO) -> int | None:
    """The file descriptor of a pipe or socket; None for whatever else a stream writes to."""
    try:
        found = stream.fileno()
        mode = os.fstat(found).st_mode
    except (AttributeError, OSError, ValueError, io.UnsupportedOperation):
        return None
    return found if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) else None
