"""Who is told that Kafka has not answered yet: a command shows it to whoever waits. Services have their logs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

_SLOW_S = 2.0

_listeners: list[Callable[[str], None]] = []


def tell_slow_answers(tell: Callable[[str], None]) -> None:
    """From now on in this process, call `tell` with the addresses where a first answer takes longer than two
    seconds."""
    _listeners[:] = [tell]


@contextmanager
def first_answer(where: str) -> Iterator[None]:
    """To be entered in an event loop around the first question to brokers."""
    import asyncio  # not where a command only says who is told

    timers = [asyncio.get_running_loop().call_later(_SLOW_S, tell, where) for tell in _listeners]
    try:
        yield
    finally:
        for each in timers:
            each.cancel()
