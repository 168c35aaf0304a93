"""Errors keep the variables of every function that they came through, and with them all state of a task.

The garbage collector would find it only in a full collection, which a process with much state hardly ever makes: a task
that is tried again and again would take the memory of its state each time.
"""

from __future__ import annotations

from collections.abc import Iterator
from traceback import clear_frames


def forget_locals(error: BaseException) -> None:
    """Let go of the variables that an error keeps, and those that led to it. Its traceback can still be printed."""
    for each in _related(error):
        if each.__traceback__ is not None:
            clear_frames(each.__traceback__)


def _related(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop()
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            yield each
            waiting += [each.__cause__, each.__context__]
            waiting += each.exceptions if isinstance(each, BaseExceptionGroup) else ()
