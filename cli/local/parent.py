"""A process of `sla up` or `sla demo` ends when the one that started it has ended for any reason, kill -9 too: it would
keep its port and its membership, and nobody knows of it."""

from __future__ import annotations

import os
import signal
import threading
import time

_LOOK_S = 1.0
_STOP_S = 25.0
_STARTED_BY = "_STARTED_BY"


def of_this_process() -> dict[str, str]:
    """What the environment of a process has that is to end with this one: it may start after this one was killed."""
    return {_STARTED_BY: str(os.getpid())}


def end_with_parent(look_s: float = _LOOK_S, stop_s: float = _STOP_S) -> None:
    """From now on end this process as SIGTERM does once its parent is gone; by force where it takes longer than
    `stop_s`."""
    parent = int(os.environ.pop(_STARTED_BY, os.getppid()))

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(look_s)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(stop_s)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, name="parent", daemon=True).start()
