"""Clients that find a cluster again when no broker they know answers any more (KIP-899).

aiokafka asks only brokers that its last metadata named. After an outage that left one broker alive, that one is all it
knows; if it goes away next, the client asks nobody else, although the others are back and it was given their addresses.
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
    """Have every aiokafka client of this process fall back to the addresses it was given."""
    AIOKafkaClient._metadata_update = _ask_known_brokers_then_bootstrap
