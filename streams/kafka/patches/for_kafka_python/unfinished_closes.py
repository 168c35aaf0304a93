"""Ends the thread of a producer that closes although Kafka has not acknowledged everything in time.

kafka-python's `KafkaProducer.close` flushes first, and a flush that times out keeps it from the rest: its thread and
its connections stay, and it goes on sending what its caller was told is given up, as long as `delivery_timeout_ms`.
Without the patch a service that opens publishers while Kafka hangs keeps a thread for each.
"""

from __future__ import annotations

from typing import Any

from kafka.errors import KafkaTimeoutError
from kafka.producer.kafka import KafkaProducer

#: The thread is woken, and has nothing to wait for then but a callback that it is in.
_END_S = 1.0
_close = KafkaProducer.close


def _end(producer: Any, timeout: float | None = None, null_logger: bool = False) -> None:
    try:
        _close(producer, timeout, null_logger)
    except KafkaTimeoutError:
        producer._sender.force_close()
        producer._sender.join(_END_S)
        if not producer._sender.is_alive():
            _close(producer, 0, null_logger)  # nothing waits any more
        raise


def apply() -> None:
    """Patch the class."""
    KafkaProducer.close = _end
