"""Which inputs of a ledger partition are early: read before all that arrived earlier is known to be applied (R26).

A ledger partition reads its own topic, and impact lists from every incident partition. Where one of these is hours or
years behind the others, as after a standstill or in a deployment that is rebuilt from its inputs, what the others send
must wait. Otherwise a statement would count what arrived after its instant, or an adjustment would be dated by it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from streams.sla.credits.ledger_timers import LedgerTimers
from streams.sla.instants import MINUTE

#: Partitions that process inputs within this time of their arrival are not behind: their inputs are applied at once. An
#: adjusted statement comes later than that after the input that leads to it, in the shipped policy after an hour.
LIVE: Final = 30 * MINUTE
#: A live partition answers a request for a watermark within seconds. Inputs that arrive later than this after a request
#: without an answer wait for it.
ANSWER_WITHIN: Final = 2 * MINUTE


class InputOrder:
    """Decides about the inputs of one ledger partition. Instants in microseconds; `now` is the wall clock."""

    __slots__ = ("_now", "_probe", "_timers")

    def __init__(self, timers: LedgerTimers, now: Callable[[], int]) -> None:
        self._timers = timers
        self._now = now
        self._probe = -1
        """The arrival of the live input after which the incident partitions were last asked how far they are."""

    def is_early(self, arrival: int, first: int | None) -> bool:
        """Whether an input that was just received has to wait; `first` is the arrival of the first one that waits."""
        if (first is not None and arrival >= first) or self._something_is_due(arrival):
            return True
        watermark = self._timers.watermark
        if arrival <= watermark:
            return False
        if not self._is_live(arrival):
            return True
        if arrival <= watermark + LIVE or not self._timers.has_accounts:
            return False
        if self._probe <= watermark:
            self._probe = arrival
        return arrival > self._probe + ANSWER_WITHIN

    def may_apply(self, first: int) -> bool:
        """Whether the first input that waits, which arrived then, may be applied."""
        if self._something_is_due(first):
            return False
        return first <= self._timers.watermark + (LIVE if self._is_live(first) else 0)

    def awaited(self, first: int | None) -> int | None:
        """The instant that watermarks have to reach next: that of the earliest statement, the arrival of the first
        input that waits, or that of a live input; None when nothing waits for one."""
        watermark = self._timers.watermark
        waiting = [self._probe] if self._probe > watermark else []
        if first is not None and first > watermark and not self.may_apply(first):
            waiting.append(first)
        statement = self._timers.awaited()
        if statement is not None:
            waiting.append(statement)
        return min(waiting, default=None)

    def _something_is_due(self, arrival: int) -> bool:
        """Whether a statement is due between the latest instant reached and an arrival: it comes first (R11)."""
        due = self._timers.next_instant()
        return due is not None and arrival > max(due, self._timers.clock)

    def _is_live(self, arrival: int) -> bool:
        return self._now() - arrival <= LIVE
