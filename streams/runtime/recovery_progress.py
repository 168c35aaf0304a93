"""How far a recovery has come: gauges all the time, and a log line with rate and ETA when it takes longer."""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog

from streams.runtime import metrics

EVERY_S = 2.0


class Progress:
    """Of `total` things `what` names, so many are done; `done` may be called as often as one likes."""

    def __init__(
        self, agent: str, partition: int, what: str, total: int, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._logger = structlog.get_logger("streams.runtime.recovery_progress").bind(agent=agent, partition=partition)
        self._left = metrics.RECOVERY_LEFT.labels(agent, str(partition), what)
        self._what = what
        self._total = total
        self._now = now
        self._began = self._told = now()
        self.done(0)

    def done(self, count: int) -> None:
        """So many, from the beginning."""
        self._left.set(max(0, self._total - count))
        now = self._now()
        if now - self._told < EVERY_S:
            return
        self._told = now
        rate = count / (now - self._began)
        eta_s = round((self._total - count) / rate, 1) if rate else None
        self._logger.info(
            "recovering", what=self._what, done=count, of=self._total, per_second=round(rate), eta_s=eta_s
        )
