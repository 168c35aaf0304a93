"""The order between an incident's alerts and its closing, which are in two topics. Pure.

A closing must not be applied before an alert that was published before it, or the page would stay open forever. So it
waits until the alerts' partition has been read up to the offset that was its end when the closing was read (`barrier`),
or until an alert arrives that a later transaction of the worker wrote: all records of a transaction carry one
timestamp, and timestamps within a partition never decrease.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from connect.notify.trigger_reader import Read


class WaitingClose(NamedTuple):
    """A record of the incidents' topic that waits; `trigger` is None where it asks for nothing."""

    timestamp: int
    offset: int
    trigger: Read


class CloseOrdering:
    """The closings that wait in one partition."""

    def __init__(self) -> None:
        self._waiting: list[WaitingClose] = []
        self.barrier: int | None = None
        """The offset that the alerts have to be read up to; None while it is not known."""

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, closing: WaitingClose) -> None:
        self._waiting.append(closing)
        self.barrier = None

    def alerts_end(self, end: int) -> None:
        """Kafka says that the alerts end here: before the barrier only where their topic was made anew."""
        if self.barrier is not None and end < self.barrier:
            self.barrier = None

    def before(self, timestamp: int) -> Iterator[WaitingClose]:
        """Takes out what comes before an alert with this timestamp."""
        while self._waiting and self._waiting[0].timestamp < timestamp:
            yield self._waiting.pop(0)

    def read_up_to(self, position: int) -> Iterator[WaitingClose]:
        """Takes out what may be applied once the alerts have been read up to this offset."""
        if self.barrier is not None and position >= self.barrier:
            self.barrier = None
            waiting, self._waiting = self._waiting, []
            yield from waiting
