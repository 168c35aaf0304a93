"""Writes log entries so that a pipe that nobody reads holds no service up: its entries are left out and counted."""

from __future__ import annotations

import io
import logging
import os
import select
import stat
import time
from contextlib import suppress
from typing import TextIO

import structlog

#: A write of at most this many bytes to a pipe that is ready for it never waits (PIPE_BUF).
_PIECE = 4096
#: For so long an entry waits for its reader; while one is stuck, no further entry waits.
_WAIT_MS = 250
#: In a period all entries together wait at most so many times as long, for a slow reader; and no more in it once one
#: has waited in vain.
_WAITS = 4
_PERIOD_S = 5.0
#: So many times as long waits a critical entry, once in a period: it tells why the process ends, and may be its last.
_CRITICAL_WAITS = 8


class LogOutput(logging.StreamHandler[TextIO]):
    """The output of a process. Where it is a file or a terminal, it is written as usual. A collector of logs that
    stops reading its pipe would hold up the whole process, for every entry waits for its write: so entries are left
    out until it reads again, and `log_entries_dropped` tells how many. `wait_ms`: how long an entry may wait."""

    def __init__(self, stream: TextIO, wait_ms: int = _WAIT_MS) -> None:
        super().__init__(stream)
        self._of_stream = _pipe_of(stream)
        self._own = None if self._of_stream is None else _opened_again(self._of_stream)
        self._pipe = self._of_stream if self._own is None else self._own
        self._wait_ms = wait_ms
        self._left_ms = 0.0
        self._renewed_at = self._critical_at = -_PERIOD_S
        self._stuck = False
        self._cut = False
        """Whether the last line was written in part."""
        self._dropped = 0

    def close(self) -> None:
        """What comes after goes to the stream's own descriptor."""
        self.acquire()
        try:
            own, self._own, self._pipe = self._own, None, self._of_stream
            if own is not None:
                os.close(own)
        finally:
            self.release()
        super().close()

    def emit(self, record: logging.LogRecord) -> None:
        """Write an entry, or leave it out."""
        if self._pipe is None:
            super().emit(record)
            return
        critical = record.levelno >= logging.CRITICAL
        try:
            text = self.format(record) + self.terminator
            if self._dropped and self._ready(self._pipe, critical):
                dropped, self._dropped = self._dropped, 0
                structlog.get_logger(__name__).warning("log_entries_dropped", count=dropped)
                self._dropped += dropped if self._dropped else 0  # the note may have been left out itself
            if not self._written(self._pipe, text.encode(errors="backslashreplace"), critical):
                self._dropped += 1
        except Exception:
            self.handleError(record)

    def _written(self, pipe: int, line: bytes, critical: bool) -> bool:
        begun = False
        if self._cut:
            line = b"\n" + line
        while line:
            count = self._write_piece(pipe, line[:_PIECE], critical)
            if not count:
                self._cut |= begun
                return False
            line, begun, self._cut = line[count:], True, False
        return True

    def _write_piece(self, pipe: int, piece: bytes, critical: bool) -> int:
        try:
            return os.write(pipe, piece) if self._ready(pipe, critical) else 0
        except OSError:  # another process was quicker, or the reader is gone
            return 0

    def _ready(self, pipe: int, critical: bool) -> bool:
        """Whether a piece can be written now, or soon."""
        poll = select.poll()
        poll.register(pipe, select.POLLOUT)
        begun = time.monotonic()
        if begun >= self._renewed_at + _PERIOD_S:
            self._renewed_at, self._left_ms = begun, float(_WAITS * self._wait_ms)
        wait_ms = 0.0 if self._stuck else min(self._left_ms, self._wait_ms)
        if critical and begun >= self._critical_at + _PERIOD_S:
            wait_ms = float(_CRITICAL_WAITS * self._wait_ms)
        self._stuck = not poll.poll(wait_ms)
        ended = time.monotonic()
        self._left_ms = 0.0 if self._stuck else max(self._left_ms - (ended - begun) * 1_000, 0.0)
        if critical and self._stuck and wait_ms:
            self._critical_at = ended
        return not self._stuck


def _pipe_of(stream: TextIO) -> int | None:
    """The file descriptor of a pipe or socket; None for whatever else a stream writes to."""
    try:
        found = stream.fileno()
        mode = os.fstat(found).st_mode
    except (AttributeError, OSError, ValueError, io.UnsupportedOperation):
        return None
    return found if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) else None


def _opened_again(pipe: int) -> int | None:
    """A descriptor of this process alone whose writes never wait: where another process writes to the same pipe, it may
    fill it between a look and a write. None for a socket, without /proc, or where another user has made the pipe."""
    if not stat.S_ISFIFO(os.fstat(pipe).st_mode):
        return None
    with suppress(OSError):
        return os.open(f"/proc/self/fd/{pipe}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    return None
