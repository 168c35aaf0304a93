"""Files that commands write: whole or not there, also where two commands write the same one at once."""

from __future__ import annotations

import io
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from stat import S_ISREG
from typing import Any, BinaryIO

from streams.errors import SlaError


class CannotWrite(SlaError):  # noqa: N818 -- it names what happened
    """A file can't be written; the message says which, and why."""


@contextmanager
def whole_file(name: str, target: Path, *, new: bool = False) -> Iterator[BinaryIO]:
    """What is written takes the place of `target` at once at the end of the block, unless that raises: the file is
    whole or not there. It has the mode of the one that it replaces. Of a link, the file that it names is replaced. What
    is no regular file is written to directly, and so is what standard output goes to (`/dev/stdout`).

    `name` is what people call it. Raises CannotWrite, also where a `new` file exists by then.
    """
    what = f"{name}: {target}"
    with _explained(what):
        direct = _direct(target)
    if direct:
        with _open(what, target, "ab") as file:
            yield file
        return
    place = Path(os.path.realpath(target))
    part = place.with_name(f".sla-{secrets.token_hex(8)}.part")
    try:
        with _open(what, part, "xb") as file:
            with suppress(OSError):  # there is none yet, or the file system keeps no modes
                shutil.copymode(place, part)
            yield file
            file.flush()
            with _explained(what):
                os.fsync(file.fileno())  # a name of what a power failure takes away would be no file
        if new and place.exists():
            raise CannotWrite(f"{place} exists by now; name another file")
        with _explained(what):
            part.replace(place)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _open(what: str, path: Path, mode: str) -> BinaryIO:
    with _explained(what):
        return io.BufferedWriter(_File(what, path, mode))


class _File(io.FileIO):
    """Tells its own errors from others of the block."""

    def __init__(self, what: str, path: Path, mode: str) -> None:
        super().__init__(path, mode)
        self._what = what

    def write(self, data: Any, /) -> int:
        with _explained(self._what):
            return super().write(data)


@contextmanager
def _explained(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CannotWrite(f"{what} can't be written: {error.strerror}") from error


def _direct(target: Path) -> bool:
    try:
        found = target.stat()
    except FileNotFoundError:
        return False
    return not S_ISREG(found.st_mode) or any(_is_output(found, number) for number in (1, 2))


def _is_output(found: os.stat_result, number: int) -> bool:
    try:
        return os.path.samestat(found, os.fstat(number))
    except OSError:  # closed, as by `>&-`
        return False
