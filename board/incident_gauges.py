"""Open incidents and the next deadline of each severity, counted in the database when /metrics is read."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from time import monotonic
from typing import Final

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from board.metrics import BoardMetrics
from board.queries.overview import open_by_severity
from streams.sla.instants import SECOND
from streams.sla.severity import SEVERITIES

#: Seconds for which a count is used again: anybody may read /metrics.
_CURRENT_S: Final = 5.0


class IncidentGauges:
    """Sets the gauges of open incidents. Safe to be called from several threads."""

    def __init__(self, engine: Engine, measured: BoardMetrics, now: Callable[[], float] = monotonic) -> None:
        self._engine = engine
        self._measured = measured
        self._now = now
        self._counted_at = float("-inf")
        self._lock = Lock()

    def refresh(self) -> None:
        """Count again, unless that was done in the last five seconds. Without its database the board has no figures:
        the gauges are removed, since old ones would look like present ones."""
        with self._lock:
            if self._now() - self._counted_at < _CURRENT_S:
                return
            self._counted_at = self._now()
            gauges = (self._measured.open_incidents, self._measured.open_incidents_breached)
            try:
                with self._engine.connect() as connection:
                    rows = open_by_severity(connection)
            except SQLAlchemyError:
                for each in (*gauges, self._measured.next_deadline):
                    each.clear()
                return
            self._measured.next_deadline.clear()
            for severity in SEVERITIES:
                for each in gauges:
                    each.labels(severity).set(0)
            for row in rows:
                self._measured.open_incidents.labels(row.severity).set(row.open)
                self._measured.open_incidents_breached.labels(row.severity).set(row.breached)
                if row.next_deadline is not None:
                    self._measured.next_deadline.labels(row.severity).set(row.next_deadline / SECOND)
