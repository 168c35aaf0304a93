"""How long a load of history holds timers that are due (R32). One that never ends, because a sender marks all its
events `backfill`, keeps back alerts, closes of months and evictions for ever."""

from __future__ import annotations

from typing import Final

import structlog

from agents.metrics import BACKFILL_HOLDS
from streams.sla.instants import HOUR, SECOND

#: Longer than a load of years takes.
LONG: Final = 6 * HOUR
_log = structlog.get_logger(__name__)


class BackfillWait:
    """Watches one partition of one agent, by the wall clock."""

    def __init__(self, agent: str, partition: int) -> None:
        self._agent = agent
        self._partition = partition
        self._gauge = BACKFILL_HOLDS.labels(agent, str(partition))
        self._since: int | None = None
        self._reported = False

    def watch(self, deferred: int, now: int) -> None:
        """`deferred` is how many timers wait, 0 where none is due; sets the gauge, and logs a long wait once."""
        if not deferred:
            self._since, self._reported = None, False
        elif self._since is None:
            self._since = now
        waited = 0 if self._since is None else now - self._since
        self._gauge.set(waited / SECOND)
        if waited >= LONG and not self._reported:
            self._reported = True
            hours = waited // HOUR
            _log.warning("backfill_lasts", agent=self._agent, partition=self._partition, timers=deferred, hours=hours)
