"""Which timestamps move stream time (R11): those of the broker's clock, and those that an agent wrote.

A topic with LogAppendTime has the broker's. On internal topics the timestamp is the writer's: there only the records of
agents count, and none that is ahead of the broker's clock by more than the skew. Any other record is applied at the
stream time that the task has reached, so that nobody can make timers fire early or hold back what comes after.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

import structlog

from streams.kafka.records import Batch, RawRecord
from streams.runtime import metrics
from streams.time_source import TimeSource

_LOG_APPEND_TIME = 1


class Undated(NamedTuple):
    """A record whose timestamp does not count."""

    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]
    timestamp: int = 0


class TimestampGuard:
    """Checks the batches of one task. `internal` are topics that agents write to, `from_agent` recognises what they
    wrote there; `skew_us` is how far a writer's clock may be ahead."""

    def __init__(
        self,
        clock: TimeSource,
        skew_us: int,
        labels: tuple[str, str],
        internal: Collection[str] = (),
        from_agent: Callable[[RawRecord], bool] = lambda _: True,
    ) -> None:
        self._clock = clock
        self._skew_ms = skew_us // 1_000
        self._labels = labels
        self._internal = frozenset(internal)
        self._from_agent = from_agent
        self._newest_ms = 0
        """The latest that the broker's clock is known to have shown."""
        self._logged: set[str] = set()
        self._logger = structlog.get_logger(__name__).bind(agent=labels[0], partition=int(labels[1]))

    def check(self, batch: Batch) -> Batch:
        """The batch, with the timestamps taken off that do not count."""
        records = batch.records
        if not records:
            return batch
        if batch.topic not in self._internal and _appended(records[0]) and _appended(records[-1]):
            self._newest_ms = max(self._newest_ms, records[-1].timestamp)
            return batch
        latest = max(self._newest_ms, self._clock.now() // 1_000) + self._skew_ms
        checked = [each if self._counts(batch.topic, each, latest) else _undated(each) for each in records]
        ignored = [each for each in checked if isinstance(each, Undated)]
        if not ignored:
            return batch
        metrics.TIMESTAMPS_IGNORED.labels(*self._labels).inc(len(ignored))
        if batch.topic not in self._logged:
            self._logged.add(batch.topic)
            self._logger.warning("timestamps_ignored", topic=batch.topic, offset=ignored[0].offset, count=len(ignored))
        return batch._replace(records=checked)

    def _counts(self, topic: str, record: RawRecord, latest_ms: int) -> bool:
        if topic in self._internal and not self._from_agent(record):
            return False
        return _appended(record) or record.timestamp <= latest_ms


def _appended(record: RawRecord) -> bool:
    """Whether the broker set the timestamp."""
    return getattr(record, "timestamp_type", _LOG_APPEND_TIME) == _LOG_APPEND_TIME


def _undated(record: RawRecord) -> Undated:
    return Undated(record.offset, record.key, record.value, record.headers)
