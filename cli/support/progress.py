"""A count on standard error for what takes longer than two seconds, on a terminal only."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

_PATIENCE_S = 2.0
_LOOK_EVERY = 256


@contextmanager
def counting(what: str, *, total: int | None = None, quiet: bool = False) -> Iterator[Callable[[], None]]:
    """Call the result once for each thing done; `what` says what they are, such as "events published". With `total`,
    a bar says how far it is."""
    if quiet or not sys.stderr.isatty():
        yield lambda: None
        return
    known: tuple[ProgressColumn, ...] = (BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.completed:,} {task.description}"),
        *(known if total is not None else ()),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    task = bar.add_task(what, total=total)
    started, shown, done = time.monotonic(), False, 0

    def one() -> None:
        nonlocal shown, done
        done += 1
        if done % _LOOK_EVERY == 0:
            if not shown and time.monotonic() - started > _PATIENCE_S:
                shown = True
                bar.start()
            bar.update(task, completed=done)

    try:
        yield one
    finally:
        if shown:
            bar.stop()
