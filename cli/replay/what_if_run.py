"""Runs a comparison on every core: one process per shard of the incidents, with a bar on terminals."""

from __future__ import annotations

import gc
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ProcessPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from cli.replay.cores import cores
from cli.support.lines import STDIN, read_lines
from streams.replay.what_if import HistoryPart, Part
from streams.replay.what_if_result import Comparison, compare, credits_of
from streams.sla.arrival import TimeLimits
from streams.sla.policy import Policies

#: A process is worth its start for so much input.
BYTES_PER_PROCESS = 4 * 1024 * 1024
_PATIENCE_S = 2.0
_LOOK_S = 0.25
_TELL_EVERY = 1024
_progress: Any = None


class Job(NamedTuple):
    """What to compare over which files."""

    names: list[str]
    old: Policies
    new: Policies
    time_limits: TimeLimits
    until: int | None
    backfill: bool


def run(job: Job, *, processes: int | None = None) -> Comparison:
    """The comparison, on as many processes as the input is worth, or as many as are given."""
    with ExitStack() as stack:
        names = [stack.enter_context(_spooled()) if name == STDIN else name for name in job.names]
        job = job._replace(names=names)
        size = sum(Path(name).stat().st_size for name in names)
        shards = processes or max(1, min(cores(), size // BYTES_PER_PROCESS))
        if shards == 1:
            part = _shard(job, 0, 1)
            return compare([part], *(credits_of([part], side, job.time_limits) for side in (job.old, job.new)))
        return _parallel(job, size, shards)


@contextmanager
def _spooled() -> Iterator[str]:
    """Standard input as a file, which several processes can read."""
    with tempfile.NamedTemporaryFile("wb", suffix=".jsonl") as file:
        for line in read_lines(STDIN):
            file.write(line.encode("utf-8", "surrogateescape") + b"\n")
        file.flush()
        yield file.name


def _parallel(job: Job, size: int, shards: int) -> Comparison:
    context = get_context("spawn")
    progress = context.Array("q", shards, lock=False)
    with ProcessPoolExecutor(shards, context, _in_process, (progress,)) as pool:
        shares = [pool.submit(_shard, job, shard, shards) for shard in range(shards)]
        _watch(shares, progress, size * shards)
        parts = [share.result() for share in shares]
        sides = [pool.submit(credits_of, parts, side, job.time_limits) for side in (job.old, job.new)]
        old, new = (side.result() for side in sides)
        return compare(parts, old, new)


def _in_process(progress: Any) -> None:
    global _progress  # noqa: PLW0603 -- what multiprocessing hands over once per process
    _progress = progress
    gc.disable()  # nearly all that a shard makes it keeps; looking for cycles costs a fifth of the time


def _shard(job: Job, shard: int, shards: int) -> Part:
    taker = HistoryPart(
        job.old, job.new, job.time_limits, shard=shard, shards=shards, until=job.until, backfill=job.backfill
    )
    number = done = 0
    for name in job.names:
        for line in read_lines(name):
            number += 1
            taker.read(number, line)
            done += len(line) + 1
            if _progress is not None and number % _TELL_EVERY == 0:
                _progress[shard] = done
    return taker.end()


def _watch(shares: list[Future[Part]], progress: Any, total: int) -> None:
    """Wait for the shards; on a terminal, show how far they are once it takes longer than two seconds."""
    if not sys.stderr.isatty():
        wait(shares, return_when=FIRST_EXCEPTION)
        return
    bar = Progress(
        TextColumn("comparing"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    task = bar.add_task("comparing", total=total)
    began, shown = time.monotonic(), False
    try:
        while wait(shares, _LOOK_S, FIRST_EXCEPTION).not_done:
            if not shown and time.monotonic() - began > _PATIENCE_S:
                shown = True
                bar.start()
            bar.update(task, completed=sum(progress))
            if any(share.done() and share.exception() is not None for share in shares):
                return
    finally:
        if shown:
            bar.stop()
