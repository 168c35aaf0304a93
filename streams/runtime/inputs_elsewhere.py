"""Partitions of which this worker has the internal topics, while another member of the group has the inputs.

In a rolling upgrade that member is a worker of a release before internal topics, and all is well. Otherwise it is
another program that uses the workers' consumer group: nobody decides these inputs, and no worker would say so.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

_MINUTE_US: Final = 60_000_000
#: How long a rolling upgrade may take; a ledger that waits for a partition is given the same time.
LIMIT_US: Final = 10 * _MINUTE_US

AgentPartition = tuple[str, int]


class InputsElsewhere:
    """Since when each partition is without inputs here, in microseconds. `group` is the workers' consumer group."""

    def __init__(self, group: str) -> None:
        self._group = group
        self._since: dict[AgentPartition, int] = {}

    def assigned(self, partitions: Iterable[AgentPartition], now: int) -> None:
        """These are the ones after a rebalance."""
        self._since = {each: self._since.get(each, now) for each in partitions}

    def problems(self, now: int) -> list[dict[str, object]]:
        """Why the worker is not ready: those that have lasted."""
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
