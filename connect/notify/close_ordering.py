"""The order between an incident's alerts and its closing, which lie in two topics. Pure.

A closing must not be taken before an alert that was published before it, or the page would stay for ever. So it waits
until the alerts' partition has been read up to where it had been written when the closing was read (`barrier`), or
until an alert comes that a later transaction of the worker wrote: all records of a transaction carry one timestamp,
and those of a partition never go back.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from connect.notify.triggers import PageTrigger


class Closing(NamedTuple):
    """A record of the incidents' topic that waits its turn; `notice` is None where it asks for nothing."""

    timestamp: int
    offset: int
    notice: PageTrigger | None


class Turns:
    """What waits in one partition."""

    def __init__(self) -> None:
        self._waiting: list[Closing] = []
        self.barrier: int | None = None
        """The offset that the alerts have to be read up to; None while it is not known."""

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def wait(self, closing: Closing) -> None:
        self._waiting.append(closing)
        self.barrier = None

    def before(self, timestamp: int) -> Iterator[Closing]:
        """What comes before an alert with this timestamp."""
        while self._waiting and self._waiting[0].timestamp < timestamp:
            yield self._waiting.pop(0)

    def read_up_to(self, position: int) -> Iterator[Closing]:
        """What comes next when the alerts have been read up to there."""
        if self.barrier is not None and position >= self.barrier:
            self.barrier = None
            waiting, self._waiting = self._waiting, []
            yield from waiting
