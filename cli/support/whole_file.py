"""Files that commands write: whole or not at all, also where two commands write the same one at once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from cli.support.exits import wrong_use


@contextmanager
def whole_file(name: str, target: Path, *, new: bool = False) -> Iterator[BinaryIO]:
    """What is written takes the place of `target` at once at the end of the block, unless that raises. A pipe or a
    device is written to itself, and of a link the file that it names is replaced.

    `name` is what people call it. Ends the command where it can't be written, and where a `new` file exists by then.
    """
    try:
        if target.exists() and not (target.is_file() or target.is_dir()):
            with target.open("wb") as stream:
                yield stream
            return
        target = target.resolve()
        part = target.with_name(f".{target.name}.{os.getpid()}.part")
        try:
            with part.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())  # a name of what a power failure takes away would be no file
            if new and target.exists():
                wrong_use(f"{target} exists by now; name another file")
            part.replace(target)
        finally:
            with suppress(OSError):
                part.unlink(missing_ok=True)
    except OSError as error:
        wrong_use(f"{name}: {target} can't be written: {error.strerror}")
