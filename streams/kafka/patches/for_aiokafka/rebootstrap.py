"""Lets clients find a cluster again when none of the brokers they know answers (KIP-899).

aiokafka asks only brokers that its last metadata named. After an outage that left one broker, the metadata names only
that one. If it fails next, the client asks no other, although the others are back and their addresses are configured.
Without the patch a client in that state stays disconnected until its process restarts.
"""

from __future__ import annotations

from typing import Any

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaConnectionError

_ask_known_brokers = AIOKafkaClient._metadata_update


async def _ask_known_brokers_then_bootstrap(self: AIOKafkaClient, cluster_metadata: Any, topics: Any) -> bool:
    if await _ask_known_brokers(self, cluster_metadata, topics):
        return True
    try:
        await self.bootstrap()
    except KafkaConnectionError:
        return False
    return bool(await _ask_known_brokers(self, cluster_metadata, topics))


def apply() -> None:
    """Make every aiokafka client of this process fall back to its configured addresses."""
    AIOKafkaClient._metadata_update = _ask_known_brokers_then_bootstrap
