"""A process of `sla up` or `sla demo` ends when the one that started it has ended for any reason, kill -9 too: it would
keep its port and its membership, and nobody knows of it."""

from __future__ import annotations

import os
import signal
import threading
import time

_LOOK_S = 1.0


def end_with_parent(look_s: float = _LOOK_S) -> None:
    """From now on end this process as SIGTERM does once its parent is gone."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(look_s)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent", daemon=True).start()
