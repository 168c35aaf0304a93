"""Arrivals ahead of the clock: what another partition stamped while its broker's clock was wrong (R11).

The timestamp of such a record moves no stream time (`streams.runtime.timestamps`). Its envelope still has the arrival
of the input that it follows from. An input that arrives in years would wait until then.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import structlog

from agents.ingress import Checked, Copied
from streams.internal_topics import with_arrival
from streams.runtime.processor import Record
from streams.sla.instants import format_rfc3339

_Received = TypeVar("_Received", Checked, Copied)
_log = structlog.get_logger(__name__)


class ArrivalLimit:
    """Limits the arrivals of what one partition of an agent receives. `skew` is how far one may be ahead of the wall
    clock `now` and of the record that carried it. Instants in microseconds."""

    def __init__(self, agent: str, partition: int, now: Callable[[], int], skew: int) -> None:
        self._agent = agent
        self._partition = partition
        self._now = now
        self._skew = skew
        self._logged: set[tuple[str, int]] = set()

    def limited(self, received: _Received, carrier: Record) -> _Received:
        """It with an arrival that is not ahead: one that is becomes that of its carrier, which is when it was read."""
        record = received.record
        if record.arrival <= carrier.arrival or record.arrival <= max(carrier.arrival, self._now()) + self._skew:
            return received
        origin = record.topic, record.partition
        if origin not in self._logged:
            self._logged.add(origin)
            _log.warning(
                "arrival_ahead",
                agent=self._agent,
                partition=self._partition,
                topic=record.topic,
                input_partition=record.partition,
                offset=record.offset,
                arrival=format_rfc3339(record.arrival),
            )
        record = record._replace(arrival=carrier.arrival)
        if isinstance(received, Copied):
            return received._replace(record=record, carrier=with_arrival(received.carrier, carrier.arrival))
        return received._replace(record=record)
