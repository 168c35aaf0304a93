"""Constructs kafka-python clients, for services and commands without an event loop.

kafka-python 3.0: a constructor that fails leaves its network thread running, which looks for the broker and logs until
the process ends, and returns no object to close it with. These functions close it. It also tries a wrong password until
its time is over and then reports a timeout; these functions raise the cause at once.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

from kafka import KafkaConsumer, KafkaProducer
from kafka.admin import KafkaAdminClient
from kafka.net import transport
from kafka.net.compat import KafkaNetClient

from streams.kafka.any_header_names import read_any
from streams.kafka.bounded_batches import bound_batches
from streams.kafka.causes import LASTING, ClosedAtFirstRequest, cause_of, most_telling
from streams.kafka.producer_id_reset import ask_anew
from streams.kafka.properties import CONSUMERS_ONLY, PRODUCERS_ONLY

Client = TypeVar("Client")


def consumer(**config: object) -> KafkaConsumer:
    """A KafkaConsumer with that configuration, which reads any header name, and batches within bounds. Raises what its
    constructor raises."""
    read_any()
    bound_batches()
    return _opened(KafkaConsumer, PRODUCERS_ONLY, **config)


def producer(**config: object) -> KafkaProducer:
    """A KafkaProducer that waits for all replicas, and goes on after any outage. Raises what its constructor raises."""
    made = _opened(KafkaProducer, CONSUMERS_ONLY, **({"acks": "all"} | config))
    ask_anew(made)
    return made


def admin(**config: object) -> KafkaAdminClient:
    """A KafkaAdminClient with that configuration. Raises what its constructor raises."""
    return _opened(KafkaAdminClient, CONSUMERS_ONLY | PRODUCERS_ONLY, **config)


def _opened(kind: Callable[..., Client], of_other_kinds: frozenset[str], **config: object) -> Client:
    """`of_other_kinds` are options that the clients of a process share and this kind does not have."""
    _keep_last_answers()
    networks: list[Any] = []
    failures: dict[str, BaseException] = {}
    config = {name: value for name, value in config.items() if name not in of_other_kinds}

    def network(**options: object) -> Any:
        networks.append(KafkaNetClient(**options))
        _note_failures(networks[-1]._manager, failures)
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


@cache
def _keep_last_answers() -> None:
    """kafka-python 3.0 drops what it received together with the end of a connection, such as why authentication failed.
    Without this change such a failure is reported as a closed connection."""
    for kind in (transport.KafkaTCPTransport, transport.KafkaSSLTransport):
        kind._sock_recv = _answer_before_end(kind._sock_recv)


def _answer_before_end(receive: Callable[[Any], tuple[bytes, Any]]) -> Callable[[Any], tuple[bytes, Any]]:
    def receive_answer_first(self: Any) -> tuple[bytes, Any]:
        data, error = receive(self)
        return data, None if data else error  # the next call meets the error again

    return receive_answer_first


def _note_failures(manager: Any, failures: dict[str, BaseException]) -> None:
    """Note why connections fail, by broker, until the first one is made. Once every configured broker has failed for a
    reason that time does not mend, connecting raises it."""
    connect = manager.get_connection

    def note(node_id: object) -> Callable[[BaseException], None]:
        def keep_most_telling(error: BaseException) -> None:
            failures[str(node_id)] = most_telling([error, *filter(None, [failures.get(str(node_id))])]) or error

        return keep_most_telling

    def connect_noting_failures(node_id: Any, *args: Any, **options: Any) -> Any:
        if not manager.bootstrapped and len(failures) >= len(manager.cluster.bootstrap_brokers()):
            cause = most_telling(failures.values())
            if cause is not None and cause_of(cause).kind in LASTING:
                raise cause
        connection = connect(node_id, *args, **options)
        if not manager.bootstrapped:
            connection.init_future.add_errback(note(node_id))
            connection.close_future.add_errback(
                lambda _: connection.init_future.succeeded() and note(node_id)(ClosedAtFirstRequest())
            )
        return connection

    manager.get_connection = connect_noting_failures
