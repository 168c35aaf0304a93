"""A producer of kafka-python that closes leaves no thread behind, whatever Kafka has not acknowledged."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest
from kafka import KafkaProducer
from kafka.errors import KafkaTimeoutError

from streams.kafka.patches import KAFKA_PYTHON
from tests.waiting import TIMEOUT_S


class Sender(threading.Thread):
    """Ends only by force: Kafka answers nothing."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.forced = threading.Event()

    def run(self) -> None:
        self.forced.wait(TIMEOUT_S)

    def initiate_close(self) -> None: ...
    def force_close(self) -> None:
        self.forced.set()


def test_a_flush_that_times_out_does_not_keep_a_producer_from_closing() -> None:
    assert KAFKA_PYTHON.applied("unfinished_closes")
    sender = Sender()
    sender.start()

    def flush(_: float) -> None:
        if sender.is_alive():
            raise KafkaTimeoutError("not acknowledged")

    config = {"key_serializer": None, "value_serializer": None}
    producer: Any = SimpleNamespace(
        _unregister_cleanup=lambda: None, _closed=False, flush=flush, _sender=sender, _metrics=None, config=config
    )
    with pytest.raises(KafkaTimeoutError):
        KafkaProducer.close(producer, timeout=0.1)
    assert not sender.is_alive()
    assert producer._closed
