"""Runs a comparison of policies over files, on one process or several: each takes a part of the incidents."""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

from streams.lines import STDIN, read_lines
from streams.parallel import cores, end_silently_on_ctrl_c
from streams.replay.what_if import PartialComparison, PolicyComparer
from streams.replay.what_if_result import Comparison, compare, credits_of
from streams.sla.arrival import TimeLimits
from streams.sla.policy import Policies

#: A process is worth its start for so much input.
BYTES_PER_PROCESS = 4 * 1024 * 1024
_POLL_S = 0.25
_REPORT_EVERY = 1024
_bytes_done: Any = None

#: Called with the number of bytes to compare; gives a function that is called with the number done so far.
Progress = Callable[[int], AbstractContextManager[Callable[[int], None]]]


class ComparisonJob(NamedTuple):
    """What to compare over which files."""

    names: list[str]
    old: Policies
    new: Policies
    time_limits: TimeLimits
    until: int | None
    backfill: bool


def _no_progress(total: int) -> AbstractContextManager[Callable[[int], None]]:
    return nullcontext(lambda done: None)


def run(job: ComparisonJob, *, processes: int | None = None, progress: Progress = _no_progress) -> Comparison:
    """The comparison, on as many processes as the input is worth, or as many as are given. Raises UnreadableFile."""
    with ExitStack() as stack:
        names = [stack.enter_context(_spooled()) if name == STDIN else name for name in job.names]
        job = job._replace(names=names)
        size = sum(Path(name).stat().st_size for name in names)
        parts = processes or max(1, min(cores(), size // BYTES_PER_PROCESS))
        with progress(size * parts) as update:
            if parts > 1:
                return _parallel(job, parts, update)
            part = _compare_part(job, 0, 1, update)
        return compare([part], *(credits_of([part], side, job.time_limits) for side in (job.old, job.new)))


@contextmanager
def _spooled() -> Iterator[str]:
    """Standard input as a file, which several processes can read."""
    with tempfile.NamedTemporaryFile("wb", suffix=".jsonl") as file:
        for line in read_lines(STDIN):
            file.write(line.encode("utf-8", "surrogateescape") + b"\n")
        file.flush()
        yield file.name


def _parallel(job: ComparisonJob, parts: int, update: Callable[[int], None]) -> Comparison:
    context = get_context("spawn")
    done = context.Array("q", parts, lock=False)
    with ProcessPoolExecutor(parts, context, _in_process, (done,)) as pool:
        futures = [pool.submit(_compare_part, job, part, parts) for part in range(parts)]
        while wait(futures, _POLL_S, FIRST_EXCEPTION).not_done:
            update(sum(done))
            if any(future.done() and future.exception() is not None for future in futures):
                break
        found = [future.result() for future in futures]
        sides = [pool.submit(credits_of, found, side, job.time_limits) for side in (job.old, job.new)]
        old, new = (side.result() for side in sides)
        return compare(found, old, new)


def _in_process(done: Any) -> None:
    global _bytes_done  # noqa: PLW0603 -- multiprocessing passes it once per process
    _bytes_done = done
    end_silently_on_ctrl_c()
    gc.disable()  # almost nothing becomes garbage here; collecting it costs a fifth of the time


def _compare_part(
    job: ComparisonJob, part: int, parts: int, update: Callable[[int], None] | None = None
) -> PartialComparison:
    """One part. Bytes done are told to `update`, or where the parent process reads them."""
    comparer = PolicyComparer(
        job.old, job.new, job.time_limits, part=part, parts=parts, until=job.until, backfill=job.backfill
    )
    number = done = 0
    for name in job.names:
        for line in read_lines(name):
            number += 1
            comparer.read(number, line)
            done += len(line) + 1
            if number % _REPORT_EVERY == 0:
                if update is not None:
                    update(done)
                elif _bytes_done is not None:
                    _bytes_done[part] = done
    return comparer.end()
