"""Lines of files or of standard input, read as they come; what is not UTF-8 stays one bad line."""

from __future__ import annotations

import io
import os
import re
import select
import stat
import sys
import tempfile
from codecs import BOM_UTF8
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from streams.errors import SlaError

STDIN = "-"
_CHUNK_BYTES = 256 * 1024
#: More than any record of the product has as JSON. What is longer is another kind of file.
_LONGEST_LINE = 64 * 1024 * 1024
#: Opening a named pipe would wait for its writer, and Ctrl-C does not end that in an event loop. Elsewhere a pipe that
#: has had no writer yet may read as its end.
_NO_WAIT = os.O_NONBLOCK if sys.platform.startswith("linux") else 0
_NOT_UTF8 = re.compile("[\udc80-\udcff]")


class UnreadableFile(SlaError):  # noqa: N818 -- it names what happened
    """An input file is missing or can't be read."""


def read_lines(name: str) -> Iterator[str]:
    """The lines of a file, or of standard input for `-`, in constant memory. Raises UnreadableFile, also at a line of
    more than 64 MiB."""
    for line in arriving_lines(name, wait=True):
        assert line is not None
        yield line


def counted_lines(names: list[str], one: Callable[[], None]) -> Iterator[str]:
    """The lines of several files, one after the other; calls `one` for each. Raises UnreadableFile."""
    for name in names:
        for line in read_lines(name):
            one()
            yield line


@contextmanager
def readable_again(names: list[str]) -> Iterator[list[str]]:
    """The names of files that can be read several times: standard input is copied to a temporary file."""
    if STDIN not in names:
        yield names
        return
    with tempfile.NamedTemporaryFile("w", prefix="sla-", suffix=".jsonl", encoding="utf-8") as file:
        for line in read_lines(STDIN):
            file.write(line + "\n")
        file.flush()
        yield [file.name if name == STDIN else name for name in names]


def arriving_lines(name: str, *, wait: bool = False) -> Iterator[str | None]:
    """As `read_lines`; unless `wait`, None comes whenever nothing more has arrived yet at a pipe or a terminal."""
    try:
        if name == STDIN:
            yield from _standard_input(wait=wait)
            return
        opened = os.open(name, os.O_RDONLY | _NO_WAIT)
        try:
            if wait and stat.S_ISFIFO(os.fstat(opened).st_mode):
                select.select([opened], [], [])  # else no writer yet would read as the end
            os.set_blocking(opened, True)
            yield from _lines(name, opened, wait=wait or stat.S_ISREG(os.fstat(opened).st_mode))
        finally:
            os.close(opened)
    except OSError as error:
        raise UnreadableFile(f"{name} can't be read: {error.strerror}") from error


def check_readable(names: list[str]) -> None:
    """Raises UnreadableFile before anything is done with the first of several files."""
    for name in names:
        if name != STDIN and not Path(name).exists():
            raise UnreadableFile(f"there is no file {name}")
        if name != STDIN and Path(name).is_dir():
            raise UnreadableFile(f"{name} is a directory; expected a file of JSON lines")


def decoded(line: bytes) -> str:
    """The text of a line, without a byte-order mark. Bytes that are not UTF-8 become NUL, which JSON allows nowhere, so
    that the line is refused as `undecodable`, with the column."""
    line = line.removeprefix(BOM_UTF8)
    try:
        return line.decode()
    except UnicodeDecodeError:
        return _NOT_UTF8.sub("\0", line.decode(errors="surrogateescape"))


def _standard_input(*, wait: bool) -> Iterator[str | None]:
    if sys.stdin is None:
        raise UnreadableFile("standard input is closed")
    try:
        opened = sys.stdin.fileno()
    except io.UnsupportedOperation:  # no file, but what the caller put in its place
        for line in sys.stdin.buffer:
            yield decoded(line.removesuffix(b"\n"))
        return
    yield from _lines("standard input", opened, wait=wait or stat.S_ISREG(os.fstat(opened).st_mode))


def _lines(name: str, opened: int, *, wait: bool) -> Iterator[str | None]:
    rest: list[bytes] = []
    number, size = 1, 0
    while True:
        while not wait and not select.select([opened], [], [], 0)[0]:
            yield None
        chunk = os.read(opened, _CHUNK_BYTES)
        if not chunk:
            break
        first, *others = chunk.split(b"\n")
        rest.append(first)
        size += len(first)
        if size > _LONGEST_LINE:
            raise UnreadableFile(f"{name}: line {number} has more than {_LONGEST_LINE:,} bytes; expected JSON lines")
        if others:
            yield decoded(b"".join(rest))
            for line in others[:-1]:
                yield decoded(line)
            rest = [others[-1]]
            number, size = number + len(others), len(others[-1])
    if any(rest):
        yield decoded(b"".join(rest))
