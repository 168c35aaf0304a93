"""Progress of a recovery: a gauge, and a log line with rate and ETA every two seconds."""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog

from streams.runtime import metrics

EVERY_S = 2.0


class Progress:
    """Counts down from `total` units of `what`; calls of `done` are cheap."""

    def __init__(
        self, agent: str, partition: int, what: str, total: int, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._logger = structlog.get_logger("streams.runtime.recovery_progress").bind(agent=agent, partition=partition)
        self._left = metrics.RECOVERY_LEFT.labels(agent, str(partition), what)
        self._what = what
        self._total = total
        self._now = now
        self._started_at = self._logged_at = now()
        self.done(0)

    def done(self, count: int) -> None:
        """`count` units are done since the start."""
        self._left.set(max(0, self._total - count))
        now = self._now()
        if now - self._logged_at < EVERY_S:
            return
        self._logged_at = now
        rate = count / (now - self._started_at)
        eta_s = round((self._total - count) / rate, 1) if rate else None
        self._logger.info(
            "recovery_progress", what=self._what, done=count, of=self._total, per_second=round(rate), eta_s=eta_s
        )
