"""The time by Kafka's clock, and the clock by which requests are received: that of this machine, or Kafka's where they
differ by far.

Workers judge what arrives by Kafka's clock (R5, R32). What a sender gives no time of its own has that of its receipt:
by a clock that is ahead workers would reject it, by one that is behind its clocks would have begun too early.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

import structlog

from streams.log_damper import LogDamper
from streams.sla.instants import MINUTE, SECOND
from streams.time_source import PresentTime

_LOG_EVERY = 60 * SECOND
#: For so long an acknowledgement tells the time.
_KNOWN_S = 10.0
#: One that comes later tells no present time: this process or its machine may have stood still since.
_PROMPT = MINUTE
#: Acknowledgements within so long of the last one are compared: a clock that drifts takes days for minutes.
_TOGETHER_S = 600.0


class _Appended(NamedTuple):
    """When Kafka appended a record by its clock, what the loop's clock and the machine's showed when the
    acknowledgement came, how long that took, and how far the machine's clock was ahead."""

    at: int
    seen_s: float
    seen_at: int
    took: int
    ahead: int


class KafkaTime:
    """What acknowledgements tell of Kafka's clock. Instants and spans are in microseconds, the loop's clock in
    seconds."""

    def __init__(self, machine: PresentTime) -> None:
        self._machine = machine
        self._last: _Appended | None = None
        self._of_places: dict[tuple[str, int], _Appended] = {}
        self._nearest: _Appended | None = None
        """Of the last ones of all partitions the one by which the machine's clock differs least."""

    def appended(self, at: int, place: tuple[str, int], sent_at: int) -> None:
        """Kafka has just acknowledged a record that it appended at `at` to a partition of a topic. By the machine's
        clock the record was sent at `sent_at`."""
        seen_at = self._machine.now()
        earliest, latest = sorted((sent_at - at, seen_at - at))
        # Kafka may have appended it at any time between: what an acknowledgement takes is no difference of clocks.
        ahead = max(earliest, min(latest, 0))
        before = self._of_places.get(place)
        self._last = last = _Appended(at, asyncio.get_running_loop().time(), seen_at, seen_at - sent_at, ahead)
        self._of_places[place] = last
        nearest = None if self._nearest is None or not self._counts(self._nearest) else self._nearest
        if nearest is not None and abs(ahead) <= abs(nearest.ahead):
            self._nearest = last
        elif nearest is None or nearest is before:
            found = [each for each in self._of_places.values() if self._counts(each)]
            self._nearest = min(found, key=lambda each: abs(each.ahead), default=None)

    def now(self) -> int | None:
        """About the present time, never later; None where no acknowledgement has told it lately."""
        if self._last is None or self._last.took > _PROMPT or not self._holds(self._last):
            return None
        passed_s = asyncio.get_running_loop().time() - self._last.seen_s
        return self._last.at + int(passed_s * SECOND) if passed_s <= _KNOWN_S else None

    def machine_ahead(self) -> int | None:
        """How far the machine's clock was ahead at the last acknowledgements, one of each partition; None where that is
        not known, or the clock was set since. Brokers may differ: what is nearest to the machine's clock counts. Every
        request asks this several times."""
        nearest = self._nearest
        return nearest.ahead if nearest is not None and self._holds(nearest) else None

    def _counts(self, seen: _Appended) -> bool:
        """Whether an acknowledgement may be compared with the last one."""
        assert self._last is not None
        return self._last.seen_s - seen.seen_s <= _TOGETHER_S and self._holds(seen)

    def _holds(self, seen: _Appended) -> bool:
        """The loop's clock stands still while the machine is suspended; that of the machine is set ahead after it, at
        once or when it is next compared with others. So they must agree."""
        passed = int((asyncio.get_running_loop().time() - seen.seen_s) * SECOND)
        return abs(self._machine.now() - seen.seen_at - passed) <= SECOND


class ReceiptClock:
    """`ahead` is how far the machine's clock is ahead of Kafka's (behind: negative), in microseconds, or None while
    that is not known. Up to `tolerated` the machine's clock counts."""

    def __init__(self, machine: PresentTime, ahead: Callable[[], int | None], tolerated: int) -> None:
        self._machine = machine
        self._ahead = ahead
        self._tolerated = tolerated
        self._damper = LogDamper(_LOG_EVERY)
        self._log = structlog.get_logger("connect.intake")

    def difference(self) -> int | None:
        """How far the machine's clock is ahead, where that is more than tolerated."""
        ahead = self._ahead()
        return None if ahead is None or abs(ahead) <= self._tolerated else ahead

    def now(self) -> int:
        now, difference = self._machine.now(), self.difference()
        if difference is None:
            return now
        left_out = self._damper.admit("differs", now)
        if left_out is not None:
            self._log.warning(
                "clock_differs",
                ahead_s=round(difference / SECOND),
                consequence="requests are received by the clock of Kafka: set that of this machine right",
                left_out=left_out,
            )
        return now - difference
