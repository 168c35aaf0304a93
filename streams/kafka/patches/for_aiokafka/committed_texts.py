"""Reads what a group has committed with the texts: aiokafka tells the offset alone, with a request for each partition.

Without it, a topic that was made anew just before its reader was killed may be read from the middle.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.structs import TopicPartition

#: Where it is gone the import fails, and the patch is skipped.
_NEEDED: Final = GroupCoordinator.fetch_committed_offsets


async def committed(consumer: Any, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, tuple[int, str]]:
    """Of the consumer's group."""
    found = await consumer._coordinator.fetch_committed_offsets(list(partitions))
    return {where: (each.offset, each.metadata or "") for where, each in found.items()}
