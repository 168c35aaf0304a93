"""What runs in the process of a job: the call, at low priority and within a limit on memory."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from streams.errors import SlaError

#: Called with how much is done, and how much there is to do.
Report = Callable[[int, int], None]

_NICENESS = 10


@dataclass(frozen=True, slots=True)
class Limits:
    """What a process may use: bytes of address space, None for no limit. `command` does the same without it."""

    memory: int | None
    command: str


@dataclass(frozen=True, slots=True)
class JobCall:
    """What a process has to do; everything is pickled."""

    call: Callable[..., Any]
    arguments: tuple[Any, ...]
    limits: Limits


def in_process(sender: Connection, work: JobCall) -> None:
    """Do the work and send what comes of it. When the board is gone, the next report ends the process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the board, which ends its processes itself
    os.nice(_NICENESS)

    allowed = _limit_memory(work.limits.memory)

    def report(done: int, total: int) -> None:
        sender.send(("progress", done, total))

    try:
        result = work.call(report, *work.arguments)
    except SlaError as error:
        sender.send(("failed", str(error), None))
    except BrokenPipeError:
        return
    except MemoryError:
        resource.setrlimit(resource.RLIMIT_AS, allowed)  # the answer needs memory too
        sender.send(("failed", _too_large(work.limits), None))
    except Exception as error:
        message = f"{type(error).__name__}: the log of the board has the details"
        sender.send(("failed", message, traceback.format_exc()))
    else:
        sender.send(("done", result))


def _limit_memory(size: int | None) -> tuple[int, int]:
    """Let allocations beyond a size raise MemoryError; returns the limits that lift this."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if size is not None:
        with contextlib.suppress(ValueError, OSError):  # macOS does not limit address space
            resource.setrlimit(resource.RLIMIT_AS, (size if hard == resource.RLIM_INFINITY else min(size, hard), hard))
    return hard, hard


def _too_large(limits: Limits) -> str:
    size = (limits.memory or 0) // 1024**2
    return (
        f"it needs more memory than SLA_BOARD_JOB_MEMORY_BYTES allows ({size:,} MiB): allow more and restart the "
        f"board, or use {limits.command} on a machine that has it"
    )
