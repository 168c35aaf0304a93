"""Lets a client that can't connect say why, at once where time does not mend it.

kafka-python tries a wrong password until its time is over, and then reports a timeout. Without the patch a wrong
password, an untrusted certificate and an address without a broker all look like that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kafka.net.manager import KafkaConnectionManager

from streams.kafka.causes import LASTING, ClosedAtFirstRequest, cause_of, most_telling


def apply() -> None:
    """Raises AttributeError where a manager of connections has other parts than `note_failures` needs."""
    _ = KafkaConnectionManager.get_connection, KafkaConnectionManager.bootstrapped


def note_failures(network: Any, failures: dict[str, BaseException]) -> None:
    """Note why the connections of one client fail, by broker, until the first one is made. Once every configured broker
    has failed for a reason that time does not mend, connecting raises it."""
    manager = network._manager
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
