"""Makes kafka-python clients that leave nothing behind when no broker answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from kafka.net.compat import KafkaNetClient

Client = TypeVar("Client")


def opened(kind: Callable[..., Client], **config: object) -> Client:
    """A KafkaConsumer, KafkaProducer or KafkaAdminClient with that configuration. Raises what its constructor raises.

    A constructor that fails keeps its network thread, which looks for the broker and logs for as long as the process
    lives, and hands out nothing to close it by (kafka-python 3.0).
    """
    networks: list[Any] = []

    def network(**options: object) -> Any:
        networks.append(KafkaNetClient(**options))
        return networks[-1]

    try:
        return kind(kafka_client=network, **config)
    except BaseException:
        for each in networks:
            each.close()
        raise
