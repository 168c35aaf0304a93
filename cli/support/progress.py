"""A count on standard error for what takes longer than two seconds, on a terminal only."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

_SHOWN_AFTER_S = 2.0
_UPDATE_EVERY = 256


@contextmanager
def progress(what: str, *, total: int | None = None, quiet: bool = False) -> Iterator[Callable[[int], None]]:
    """Call the result with the number of things done so far; `what` describes them, such as "events published". With
    `total`, a bar shows the share."""
    if quiet or not sys.stderr.isatty():
        yield lambda done: None
        return
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

    columns: tuple[ProgressColumn, ...] = (BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.completed:,} {task.description}"),
        *(columns if total is not None else ()),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    task = bar.add_task(what, total=total)
    started, shown = time.monotonic(), False

    def update(done: int) -> None:
        nonlocal shown
        if not shown and time.monotonic() - started > _SHOWN_AFTER_S:
            shown = True
            bar.start()
        bar.update(task, completed=done)

    try:
        yield update
    finally:
        if shown:
            bar.stop()


@contextmanager
def counting(what: str, *, total: int | None = None, quiet: bool = False) -> Iterator[Callable[[], None]]:
    """Like `progress`, but call the result once for each thing done."""
    with progress(what, total=total, quiet=quiet) as update:
        done = 0

        def one() -> None:
            nonlocal done
            done += 1
            if done % _UPDATE_EVERY == 0:
                update(done)

        yield one


def shown(what: str) -> Callable[[int], AbstractContextManager[Callable[[], None]]]:
    """`counting` for those who learn the total later (connect.kafka_io.reader.Watch)."""
    return lambda total: counting(what, total=total)
