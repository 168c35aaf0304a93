"""When timers may act: only once every input that could have arrived before them has been received (R11).

Live, a timer due at D waits until the clock has passed D + max_clock_skew; the shard then asks where its input
partitions end, and once it has applied all below those ends, nothing unseen can have arrived before that instant.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from streams.runtime.interfaces import TaskLog
from streams.runtime.transaction_builder import OpenTransaction, TransactionBuilder
from streams.time_source import TimeSource

_MS = 1_000  # brokers stamp arrivals in whole milliseconds


class StreamTime:
    """Moves `fold.known` forward by asking for end offsets, and lets timers act by the wall clock."""

    def __init__(
        self, log: TaskLog, fold: TransactionBuilder, clock: TimeSource, skew_us: int, wake: asyncio.Event
    ) -> None:
        self._log = log
        self._fold = fold
        self._clock = clock
        self._skew = skew_us
        self._wake = wake
        self._asking: asyncio.Task[Mapping[str, int]] | None = None
        self._instant = 0
        self._ends: Mapping[str, int] | None = None

    def advance(self, blocked: int | None, pending: OpenTransaction) -> bool:
        """Do what can be done without more input; True if something changed.

        `blocked` is the arrival that the fold cannot go past before it is known that nothing earlier is missing.
        Raises what asking for end offsets raised.
        """
        fold = self._fold
        known = fold.known
        self._look()
        if blocked is not None:
            if fold.known < blocked:
                self._ask(max(self._safe(), fold.inbox.newest_ms() * _MS))
                return False
            return True
        if fold.inbox.head() is not None:
            return False
        target = self._target()
        if target is None:
            return False
        if fold.known > target:
            fold.fire_due(fold.known, pending)
            return True
        if self._safe() > target:
            self._ask(self._safe())
        return fold.known != known

    def wake_at(self) -> int | None:
        """When the wall clock lets the next timer act; None while that depends on something else."""
        target = self._target()
        if target is None or self._asking is not None or self._ends is not None or self._fold.inbox.head() is not None:
            return None
        return (target // _MS + 1) * _MS + self._skew

    def close(self) -> None:
        """Ask no more."""
        if self._asking is not None:
            self._asking.cancel()

    def _target(self) -> int | None:
        """Time has to move past this instant for a timer to act."""
        due = self._fold.processor.next_due()
        return None if due is None else max(due, self._fold.time)

    def _safe(self) -> int:
        """Records appended from now on arrive at this instant or later."""
        return (self._clock.now() - self._skew) // _MS * _MS

    def _ask(self, instant: int) -> None:
        if self._asking is None and self._ends is None:
            self._instant = instant
            self._asking = asyncio.create_task(self._ends_now())
            self._asking.add_done_callback(lambda _: self._wake.set())

    async def _ends_now(self) -> Mapping[str, int]:
        return await self._log.ends()

    def _look(self) -> None:
        if self._asking is not None and self._asking.done():
            asking, self._asking = self._asking, None
            self._ends = asking.result()
        if self._ends is None:
            return
        covered = self._fold.inbox.covered_ms(self._ends)
        if covered is None or covered * _MS >= self._instant:
            self._ends = None
            self._fold.known = max(self._fold.known, self._instant)
        else:
            self._fold.known = max(self._fold.known, covered * _MS)
