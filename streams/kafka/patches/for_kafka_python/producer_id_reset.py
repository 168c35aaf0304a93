"""Lets a producer of kafka-python go on after an outage that outlasted its delivery timeout.

An idempotent producer that gives up a batch which it had sent may not go on with its producer id: the broker may have
the batch. kafka-python then drops the id, but asks for another one only in a state that it never enters again. From
then on nothing is sent, and no future ends. Apache Kafka's own client enters that state together with the reset, and so
does the producer after `ask_anew`.

kafka-python also expires batches only where it has a producer id. The producer after `ask_anew` expires them while it
waits for one, too. Without the patch a producer sends nothing more after such an outage, and says nothing.
"""

from __future__ import annotations

import threading
from typing import Any

import structlog
from kafka.errors import KafkaTimeoutError
from kafka.producer.transaction_manager import TransactionState

_NEEDED = {
    "_transaction_manager": ("_lock", "_current_state", "reset_producer_id", "has_producer_id", "is_transactional"),
    "_sender": ("_client", "_accumulator", "_complete_batch_with_exception"),
}


def ask_anew(producer: Any) -> None:
    """Mend a KafkaProducer in place. One of a release with other private parts is left alone, which is logged once per
    producer; one that is not idempotent needs nothing."""
    manager = getattr(producer, "_transaction_manager", None)
    if manager is None or manager.is_transactional():
        return
    missing = [
        f"{part}.{name}"
        for part, names in _NEEDED.items()
        for name in names
        if not hasattr(getattr(producer, part, None), name)
    ]
    if missing:
        structlog.get_logger(__name__).warning("kafka_python_patch_skipped", patch="producer_id_reset", missing=missing)
        return
    _reset_with_state(manager)
    _expire_while_waiting(producer._sender, manager)


def _reset_with_state(manager: Any) -> None:
    reset = manager.reset_producer_id

    def reset_producer_id() -> None:
        with manager._lock:
            reset()
            if manager._current_state == TransactionState.READY:
                manager._current_state = TransactionState.UNINITIALIZED

    manager.reset_producer_id = reset_producer_id


def _expire_while_waiting(sender: Any, manager: Any) -> None:
    """The sender looks for a node again and again, in its own thread, while it has no producer id."""
    client, accumulator = sender._client, sender._accumulator
    least_loaded_node = client.least_loaded_node

    def expiring(*given: Any, **options: Any) -> Any:
        if threading.get_ident() == sender.ident and not manager.has_producer_id():
            for batch in accumulator.expired_batches():
                error = KafkaTimeoutError(f"no broker has given a producer id in time for {batch.topic_partition}")
                sender._complete_batch_with_exception(batch, error)
        return least_loaded_node(*given, **options)

    client.least_loaded_node = expiring
