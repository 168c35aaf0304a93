"""Partitions of which this worker has some topics, while another member of the group has the others.

Where that member has the inputs in a rolling upgrade, it is a worker of a release before internal topics, and all is
well. Otherwise it is another program that uses the workers' consumer group: nobody decides these inputs, and no worker
would say so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from streams.runtime import metrics

_MINUTE_US: Final = 60_000_000
#: How long a rolling upgrade may take; a ledger that waits for a partition is given the same time.
LIMIT_US: Final = 10 * _MINUTE_US

AgentPartition = tuple[str, int]


class InputsElsewhere:
    """Since when each partition is without inputs here, in microseconds. `group` is the workers' consumer group."""

    def __init__(self, group: str) -> None:
        self._group = group
        self._since: dict[AgentPartition, int] = {}
        self._incomplete: Sequence[dict[str, object]] = ()

    def assigned(
        self, partitions: Iterable[AgentPartition], now: int, incomplete: Sequence[dict[str, object]] = ()
    ) -> None:
        """These are the ones after a rebalance. Of those that are `incomplete`, with agent and partition, other topics
        are missing: no release divides them so."""
        self._since = {each: self._since.get(each, now) for each in partitions}
        self._incomplete = incomplete
        self.measure(now)

    def measure(self, now: int) -> None:
        """Set the gauge."""
        metrics.UNDECIDED.set(len(self.problems(now)))

    def problems(self, now: int) -> list[dict[str, object]]:
        """Why the worker is not ready: those that are incomplete, and those that have lasted."""
        return [*self._incomplete, *self._lasting(now)]

    def _lasting(self, now: int) -> list[dict[str, object]]:
        return [
            {"agent": agent, "partition": partition, "reason": self._reason(now - since)}
            for (agent, partition), since in sorted(self._since.items())
            if now - since > LIMIT_US
        ]

    def _reason(self, lasted: int) -> str:
        return (
            f"for {lasted // _MINUTE_US} minutes another member of the consumer group {self._group} has had the inputs "
            "of this partition: a worker of an earlier release, or another program that must not use this group; see "
            f"`kafka-consumer-groups.sh --describe --members --verbose --group {self._group}`"
        )
