"""Logs the records that are skipped: each by its coordinates, a flood of them by their number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import structlog

from board.ingest.records import IngestRecord
from board.metrics import BoardMetrics
from streams.sla.events import Rejection

#: Records that are logged one by one between two summaries.
_MOST = 100


class SkippedLog:
    """Counts and logs skipped records once their transaction is committed."""

    def __init__(self, metrics: BoardMetrics) -> None:
        self._metrics = metrics
        self._unlogged: Counter[str] = Counter()
        self._logged = 0
        self._log = structlog.get_logger("board.ingest")
        self.count = 0

    def add(self, skipped: Iterable[tuple[IngestRecord, Rejection]]) -> None:
        """Records that were skipped, and why."""
        for record, reason in skipped:
            self.count += 1
            self._metrics.skipped.labels(record.topic, reason.code).inc()
            if self._logged >= _MOST:
                self._unlogged[record.topic] += 1
                continue
            self._logged += 1
            self._log.warning(
                "record_skipped",
                topic=record.topic,
                partition=record.partition,
                offset=record.offset,
                code=reason.code,
                reason=reason.message,
            )

    def summarise(self) -> None:
        """Log how many were not logged one by one since the last summary."""
        for topic, count in sorted(self._unlogged.items()):
            self._log.warning("records_skipped", topic=topic, count=count)
        self._unlogged.clear()
        self._logged = 0
