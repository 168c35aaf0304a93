"""Waits for the listeners that a broker of the tests has besides its first."""

from __future__ import annotations

import socket
from collections.abc import Iterable

from cli.embedded_kafka.node_files import HOST
from tests.waiting import wait


def wait_for_listeners(ports: Iterable[int]) -> None:
    """Until each accepts connections: Kafka opens its listeners one after the other, and `start_broker` waits for the
    first."""
    for port in ports:
        wait(lambda port=port: _accepts(port), lambda port=port: f"nothing listens at {port}")


def _accepts(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), 1).close()
    except OSError:
        return False
    return True
