"""A producer of kafka-python that gave up a batch asks for another producer id."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest
from kafka.errors import KafkaTimeoutError
from kafka.producer.transaction_manager import ProducerIdAndEpoch, TransactionManager, TransactionState
from structlog.testing import capture_logs

from streams.kafka.patches.for_kafka_python import producer_id_reset
from streams.kafka.patches.for_kafka_python.producer_id_reset import ask_anew
from tests.standard_modules import altered


def made(manager: TransactionManager | None, waiting: int = 0) -> Any:
    """What a KafkaProducer is made of, with batches that have expired."""
    batches = [SimpleNamespace(topic_partition=f"t-{number}") for number in range(waiting)]
    failed: list[Exception] = []
    return SimpleNamespace(
        _transaction_manager=manager,
        _sender=SimpleNamespace(
            ident=None,
            _client=SimpleNamespace(least_loaded_node=lambda *_: 1),
            _accumulator=SimpleNamespace(expired_batches=lambda: [batches.pop() for _ in list(batches)]),
            _complete_batch_with_exception=lambda batch, error: failed.append(error),
            failed=failed,
        ),
    )


def ready() -> TransactionManager:
    manager = TransactionManager()
    manager.set_producer_id_and_epoch(ProducerIdAndEpoch(7, 0))
    manager._current_state = TransactionState.READY
    return manager


def test_after_a_reset_the_next_id_is_asked_for() -> None:
    manager = ready()
    ask_anew(made(manager))
    manager.reset_producer_id()
    assert not manager.has_producer_id()
    manager.init_producer_id()  # the sender calls it while there is no id
    assert len(manager._pending_requests) == 1
    manager.reset_producer_id()
    manager.init_producer_id()
    assert len(manager._pending_requests) == 1, "it has been asked for already"


def test_what_waits_for_an_id_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    manager = ready()
    producer = made(manager, waiting=2)
    ask_anew(producer)
    sender = producer._sender
    assert sender._client.least_loaded_node() == 1
    monkeypatch.setattr(producer_id_reset, "threading", altered(threading, get_ident=lambda: 42))
    sender.ident = 42
    assert sender._client.least_loaded_node() == 1
    assert sender.failed == [], "with an id the sender expires batches itself"
    manager.reset_producer_id()
    assert sender._client.least_loaded_node() == 1
    assert [type(each) for each in sender.failed] == [KafkaTimeoutError] * 2


def test_a_producer_that_is_not_idempotent_is_left_alone() -> None:
    ask_anew(made(None))
    transactional = TransactionManager("id")
    ask_anew(made(transactional))
    assert "reset_producer_id" not in vars(transactional)


def test_a_release_with_other_private_parts_is_logged() -> None:
    producer = made(ready())
    del producer._sender._accumulator
    with capture_logs() as logs:
        ask_anew(producer)
    assert [each["event"] for each in logs] == ["kafka_python_patch_skipped"]
    assert logs[0]["missing"] == ["_sender._accumulator"]
