"""The number of processors, and work spread over processes with its order preserved."""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from typing import TypeVar

#: So much per process is under way at once.
_AHEAD = 2

Given = TypeVar("Given")
Made = TypeVar("Made")


def cores() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def end_silently_on_ctrl_c() -> None:
    """For a process of a pool: a terminal sends Ctrl-C to it, too, and whoever made the pool says what there is to say.
    What is ignored, as in a job of the board, stays so."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def spread(work: Callable[[Given], Made], pieces: Iterable[Given], processes: int) -> Iterator[Made]:
    """What `work` makes of each piece, in their order; in constant memory, and in this process if one is enough."""
    if processes <= 1:
        yield from map(work, pieces)
        return
    with ProcessPoolExecutor(processes, get_context("spawn"), end_silently_on_ctrl_c) as pool:
        under_way: deque[Future[Made]] = deque()
        for piece in pieces:
            under_way.append(pool.submit(work, piece))
            if len(under_way) > _AHEAD * processes:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
