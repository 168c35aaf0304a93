"""What a consumer group has committed, with the texts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from aiokafka.structs import TopicPartition

from streams.kafka.patches import AIOKAFKA


async def committed_with_texts(
    consumer: Any, partitions: Iterable[TopicPartition]
) -> Mapping[TopicPartition, tuple[int, str]]:
    """Offset and text of the partitions that the consumer's group has committed; all texts are empty where this version
    of aiokafka is not known. Raises KafkaError."""
    if AIOKAFKA.applied("committed_texts"):
        from streams.kafka.patches.for_aiokafka import committed_texts  # its imports need the known version

        return await committed_texts.committed(consumer, partitions)
    found = {where: await consumer.committed(where) for where in partitions}
    return {where: (offset, "") for where, offset in found.items() if offset is not None}
