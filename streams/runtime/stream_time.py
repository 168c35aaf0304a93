"""When timers may fire: only once every input that could have arrived before them has been received (R11).

A timer due at D waits until the clock has passed D + max_clock_skew. The task then requests the end offsets of its
input. Once it has applied all records below them, no unseen record can have arrived before that instant.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from streams.runtime.interfaces import TaskLog
from streams.runtime.transaction_builder import OpenTransaction, TransactionBuilder
from streams.time_source import TimeSource

_MS = 1_000  # brokers stamp arrivals in whole milliseconds


class StreamTime:
    """Advances `builder.known` by requesting end offsets, and fires timers by the wall clock."""

    def __init__(
        self, log: TaskLog, builder: TransactionBuilder, clock: TimeSource, skew_us: int, wake: asyncio.Event
    ) -> None:
        self._log = log
        self._builder = builder
        self._clock = clock
        self._skew = skew_us
        self._wake = wake
        self._end_request: asyncio.Task[Mapping[str, int]] | None = None
        self._instant = 0
        self._ends: Mapping[str, int] | None = None

    def advance(self, blocked: int | None, transaction: OpenTransaction) -> bool:
        """Advance as far as possible without more input; True if something changed.

        `blocked` is the arrival of a record that must wait until no earlier record can be missing. Raises what the
        request for end offsets raised.
        """
        builder = self._builder
        known = builder.known
        self._collect_ends()
        if blocked is not None:
            if builder.known < blocked:
                self._request_ends(max(self._safe_instant(), builder.queue.newest_ms() * _MS))
                return False
            return True
        if builder.queue.head() is not None:
            return False
        target = self._target()
        if target is None:
            return False
        if builder.known > target:
            builder.fire_due(builder.known, transaction)
            return True
        if self._safe_instant() > target:
            self._request_ends(self._safe_instant())
        return builder.known != known

    def wake_at(self) -> int | None:
        """The instant at which the wall clock allows the next timer; None while it waits for something else."""
        target = self._target()
        if (
            target is None
            or self._end_request is not None
            or self._ends is not None
            or self._builder.queue.head() is not None
        ):
            return None
        return (target // _MS + 1) * _MS + self._skew

    def close(self) -> None:
        """Cancel a request in flight."""
        if self._end_request is not None:
            self._end_request.cancel()

    def _target(self) -> int | None:
        """Stream time has to pass this instant before a timer fires; None without timers."""
        due = self._builder.processor.next_due()
        return None if due is None else max(due, self._builder.time)

    def _safe_instant(self) -> int:
        """Records appended from now on arrive at this instant or later."""
        return (self._clock.now() - self._skew) // _MS * _MS

    def _request_ends(self, instant: int) -> None:
        if self._end_request is None and self._ends is None:
            self._instant = instant
            self._end_request = asyncio.create_task(self._ends_now())
            self._end_request.add_done_callback(lambda _: self._wake.set())

    async def _ends_now(self) -> Mapping[str, int]:
        return await self._log.ends()

    def _collect_ends(self) -> None:
        if self._end_request is not None and self._end_request.done():
            request, self._end_request = self._end_request, None
            self._ends = request.result()
        if self._ends is None:
            return
        covered = self._builder.queue.covered_ms(self._ends)
        if covered is None or covered * _MS >= self._instant:
            self._ends = None
            self._builder.known = max(self._builder.known, self._instant)
        else:
            self._builder.known = max(self._builder.known, covered * _MS)
