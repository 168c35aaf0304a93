"""Constructs kafka-python clients, for services and commands without an event loop.

kafka-python 3.0: a constructor that fails leaves its network thread running, which looks for the broker and logs until
the process ends, and returns no object to close it with. These functions close it, and apply the patches for the
installed version.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from kafka import KafkaConsumer, KafkaProducer
from kafka.admin import KafkaAdminClient
from kafka.net.compat import KafkaNetClient

from streams.kafka.causes import most_telling
from streams.kafka.patches import KAFKA_PYTHON
from streams.kafka.properties import CONSUMERS_ONLY, PRODUCERS_ONLY

Client = TypeVar("Client")


def consumer(**config: object) -> KafkaConsumer:
    """A KafkaConsumer with that configuration, which reads any header name, and batches within bounds. Raises what its
    constructor raises."""
    return _opened(KafkaConsumer, PRODUCERS_ONLY, **config)


def producer(**config: object) -> KafkaProducer:
    """A KafkaProducer that waits for all replicas, and goes on after any outage. Raises what its constructor raises."""
    made = _opened(KafkaProducer, CONSUMERS_ONLY, **({"acks": "all"} | config))
    if KAFKA_PYTHON.applied("producer_id_reset"):
        from streams.kafka.patches.for_kafka_python.producer_id_reset import ask_anew

        ask_anew(made)
    return made


def admin(**config: object) -> KafkaAdminClient:
    """A KafkaAdminClient with that configuration. Raises what its constructor raises."""
    return _opened(KafkaAdminClient, CONSUMERS_ONLY | PRODUCERS_ONLY, **config)


def _opened(kind: Callable[..., Client], of_other_kinds: frozenset[str], **config: object) -> Client:
    """`of_other_kinds` are options that the clients of a process share and this kind does not have."""
    KAFKA_PYTHON.apply_all()
    networks: list[Any] = []
    failures: dict[str, BaseException] = {}
    config = {name: value for name, value in config.items() if name not in of_other_kinds}

    def network(**options: object) -> Any:
        networks.append(KafkaNetClient(**options))
        if KAFKA_PYTHON.applied("connection_causes"):
            from streams.kafka.patches.for_kafka_python.connection_causes import note_failures

            note_failures(networks[-1], failures)
        return networks[-1]

    try:
        return kind(kafka_client=network, **config)
    except BaseException as error:
        for each in networks:
            each.close()
        cause = most_telling(failures.values())
        if cause is None or cause is error:
            raise
        raise error from cause
