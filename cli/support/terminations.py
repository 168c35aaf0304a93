"""SIGTERM and SIGHUP end a command as Ctrl-C does: what is known by then is printed, and what was begun is cleaned up.
Services handle them themselves (streams/service_process.py)."""

from __future__ import annotations

import signal
import threading
from types import FrameType

_received: list[int] = []


def end_as_ctrl_c_does() -> None:
    """From now on, in this process. What is ignored (nohup) stays so."""
    _received.clear()
    if threading.current_thread() is not threading.main_thread():
        return  # called as a library
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _end)


def termination_code() -> int | None:
    """What a shell reports of a program that the signal ended; None where none came. It is neither 0 nor 1: the command
    was not through."""
    return 128 + _received[0] if _received else None


def _end(number: int, _: FrameType | None) -> None:
    _received.append(number)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a script's background job
        raise KeyboardInterrupt
    signal.raise_signal(signal.SIGINT)  # whoever waits for Ctrl-C is told, event loops too
