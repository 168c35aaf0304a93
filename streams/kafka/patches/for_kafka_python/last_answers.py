"""Keeps what a broker sent together with the end of a connection, such as why authentication failed.

kafka-python drops it. Without the patch a failed authentication is reported as a closed connection.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kafka.net.transport import KafkaSSLTransport, KafkaTCPTransport

_KINDS = (KafkaTCPTransport, KafkaSSLTransport)
_Receive = Callable[[Any], tuple[bytes, Any]]


def _answer_before_end(receive: _Receive) -> _Receive:
    def receive_answer_first(self: Any) -> tuple[bytes, Any]:
        data, error = receive(self)
        return data, None if data else error  # the next call meets the error again

    return receive_answer_first


_PATCHED = {kind: _answer_before_end(kind._sock_recv) for kind in _KINDS}


def apply() -> None:
    """Make every connection of kafka-python in this process give out the answer before the end."""
    for kind, receive in _PATCHED.items():
        kind._sock_recv = receive
