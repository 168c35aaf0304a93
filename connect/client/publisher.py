"""Publishes events: checked first, acknowledged by all replicas, all events of a subject in one partition."""

from __future__ import annotations

import logging
import uuid
import weakref
from collections.abc import Mapping
from concurrent.futures import InvalidStateError
from contextlib import suppress
from copy import deepcopy
from datetime import timedelta
from functools import partial
from types import TracebackType
from typing import Any, Protocol, Self, cast

from kafka.errors import (
    AuthorizationError,
    IllegalStateError,
    InvalidTopicError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
)

from connect.client.closing import CallsUnderWay, report_lost
from connect.client.delivery import MOST_RETAINED, Callbacks, Delivery, Failures, Unacknowledged
from connect.client.errors import BrokerUnavailable, ClientError, DeliveryFailed
from connect.client.opened_in import ProcessOf
from connect.client.outgoing import Instant, check_arguments, checked_record, instant, json_value
from streams.kafka import kafka_python_clients
from streams.kafka.causes import explained_error
from streams.kafka.partitioner import partition_of
from streams.schema_registry.client import SchemaRegistry
from streams.schema_registry.schema_source import writing_frame
from streams.schema_registry.subjects import INPUT_TYPES
from streams.sla.arrival import TimeLimits
from streams.sla.events import Position
from streams.sla.instants import format_rfc3339
from streams.time_source import SystemTimeSource, TimeSource

_LOG = logging.getLogger(__name__)
#: Options that the guarantees of this module depend on.
_FIXED = frozenset(
    {
        "bootstrap_servers",
        "acks",
        "enable_idempotence",
        "retries",
        "key_serializer",
        "value_serializer",
        "transactional_id",
    }
)
_CONNECT_S = 10.0
#: Bytes of events that Kafka has not acknowledged, with what Python needs for each: kafka-python has no such limit.
_MOST_BYTES = 32 * 1024 * 1024
_EVENT_BYTES = 1024
#: How long an event waits for room.
_ROOM_S = 10.0
#: How much longer Kafka's client may take to notice that a delivery has timed out.
_GRACE_S = 5.0
#: Errors that persist when the event is sent again.
_FINAL = (AuthorizationError, InvalidTopicError, MessageSizeTooLargeError)


class Producer(Protocol):
    """The part of kafka.KafkaProducer that is used."""

    def partitions_for(self, topic: str) -> set[int]: ...
    def send(
        self, topic: str, *, key: bytes, value: bytes, headers: list[tuple[str, bytes]], partition: int
    ) -> Any: ...
    def flush(self, timeout: float | None = None) -> None: ...
    def close(self, timeout: float | None = None) -> None: ...


class Publisher:
    """Base of the publishers: connection, checks, acknowledgements. Thread-safe; use as a context manager.

    `brokers` is `host:port,…`, `source` names the sending service as CloudEvents do (`/monitors/eu`); `timeout_s` is
    how long Kafka may take to acknowledge an event, its own retries included. `kafka` goes to kafka.KafkaProducer:
    `security_protocol`, `sasl_mechanism`, `linger_ms` and so on. A `producer` of one's own is flushed, but not closed.
    With a `schema_registry` the schemas are registered there first, and events are sent in Confluent framing.
    `max_future_skew` and `lateness_horizon` are the settings of the deployment: an event that is further ahead of this
    machine's clock, or older and not marked as backfill, is refused before it is sent (R5).
    Raises BrokerUnavailable when no broker answers within 10 s, RegistryUnavailable when no registry does, and
    RegistryRefused.
    """

    def __init__(
        self,
        brokers: str,
        source: str,
        *,
        prefix: str = "sla",
        timeout_s: float = 30.0,
        producer: Producer | None = None,
        clock: TimeSource | None = None,
        kafka: Mapping[str, object] | None = None,
        schema_registry: SchemaRegistry | None = None,
        max_future_skew: timedelta = timedelta(minutes=5),
        lateness_horizon: timedelta = timedelta(days=35),
    ) -> None:
        self.source = source
        self._brokers = brokers
        self._prefix = prefix
        self._timeout_s = timeout_s
        self._clock = clock or SystemTimeSource()
        self._frame = writing_frame(schema_registry, prefix, INPUT_TYPES, _CONNECT_S)
        self._limits = TimeLimits(
            lateness=lateness_horizon // timedelta(microseconds=1),
            future_skew=max_future_skew // timedelta(microseconds=1),
        )
        self._owned = producer is None
        self._producer = producer if producer is not None else _connected(brokers, timeout_s, kafka or {})
        self._failures = Failures()
        self._unacknowledged = Unacknowledged(_MOST_BYTES)
        self._calls = CallsUnderWay()
        self._callbacks = Callbacks()
        self._process = ProcessOf("publisher")
        self._left_open = weakref.finalize(
            self, report_lost, self._producer, self._unacknowledged, self._failures, self._process
        )

    def publish(self, event: Mapping[str, object]) -> Delivery:
        """Send an event in the JSON form (a CloudEvents structured-mode object): one of one's own making, or the
        `event` of a delivery that failed, again. Raises InvalidEvent, BrokerUnavailable, and ClientError once the
        publisher is closed; nothing was sent then."""
        self._process.check()
        with self._calls.one():
            return self._publish(event)

    def _publish(self, event: Mapping[str, object]) -> Delivery:
        checked = checked_record(event, self._clock.now(), self._limits)
        topic = f"{self._prefix}.{checked.topic}"
        delivery = Delivery(deepcopy(dict(event)), self._callbacks)  # as it was sent, whatever becomes of the caller's
        key = checked.event.subject
        value = self._frame(checked.value)
        size = len(value) + _EVENT_BYTES
        if not self._unacknowledged.reserve(size, 0.0 if self._callbacks.running else _ROOM_S):
            if self._callbacks.running:
                raise BrokerUnavailable(
                    f"events of {_MOST_BYTES // 2**20} MiB wait for Kafka at {self._brokers}, and none can be "
                    "acknowledged while a callback of a delivery runs; nothing was sent: publish it from another thread"
                )
            raise BrokerUnavailable(
                f"Kafka at {self._brokers} acknowledges too little: events of {_MOST_BYTES // 2**20} MiB wait for it; "
                "nothing was sent: wait for deliveries, or send less"
            )
        try:
            partition = partition_of(key, len(self._producer.partitions_for(topic)))
            sent = self._producer.send(
                topic, key=key.encode(), value=value, headers=checked.headers, partition=partition
            )
        except BaseException as error:
            self._unacknowledged.release(size)
            if not isinstance(error, KafkaError):
                raise
            if isinstance(error, IllegalStateError):
                raise ClientError("the publisher was closed meanwhile; nothing was sent") from error
            raise BrokerUnavailable(
                f"{topic} can't be written at {self._brokers} ({_describe(error)}); nothing was sent: is Kafka "
                "running, and does the topic exist? `sla topics apply` creates it"
            ) from error
        self._unacknowledged.add(delivery)
        sent.add_both(lambda _: self._unacknowledged.release(size))
        sent.add_callback(partial(self._callbacks.run, partial(self._acknowledged, delivery)))
        sent.add_errback(partial(self._callbacks.run, partial(self._not_acknowledged, delivery)))
        return delivery

    def flush(self, timeout_s: float | None = None) -> None:
        """Wait until everything sent is acknowledged. Raises DeliveryFailed for what was not, unless its delivery has
        already reported it, and ClientError in a callback of a delivery, which keeps all others waiting."""
        self._process.check()
        self._callbacks.raise_if_running()
        try:
            self._producer.flush(self._timeout_s + _GRACE_S if timeout_s is None else timeout_s)
        except KafkaError as error:
            if self._unacknowledged.deliveries():  # else the last was acknowledged at that moment
                raise self._unknown_outcome() from error
        self._failures.raise_unreported()

    def close(self) -> None:
        """Wait for the calls of other threads, flush, then close the connection. Raises DeliveryFailed as `flush` does,
        after closing. In a process that was forked since it closes nothing: the connection belongs to the other one."""
        if self._process.left:
            return
        self._callbacks.raise_if_running()
        if not self._calls.close(_ROOM_S + _CONNECT_S + _GRACE_S):
            return
        try:
            with suppress(KafkaError):  # what is not acknowledged is given up
                self._producer.flush(self._timeout_s + _GRACE_S)
        finally:  # also after Ctrl-C
            try:
                if self._owned:
                    with suppress(KafkaError):
                        self._producer.close(timeout=_GRACE_S)
            finally:
                self._give_up(KafkaTimeoutError("the publisher closed before Kafka had answered"))
        self._left_open.detach()  # before, the end of the process tells what was lost
        self._failures.raise_unreported()

    def _give_up(self, reason: KafkaTimeoutError) -> None:
        """End every delivery that waits. Their callbacks must not wait for others here either."""
        for delivery in self._unacknowledged.deliveries():
            self._callbacks.run(partial(self._not_acknowledged, delivery), reason)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except ClientError as problem:
            if error is None:
                raise
            _LOG.warning("publisher_close_failed: %s", problem)

    def _send(
        self, event_type: str, subject: str, data: Mapping[str, object], envelope: Mapping[str, object]
    ) -> Delivery:
        """Send an event of this source; `data` that is None is left out, except a severity of None."""
        check_arguments(event_type, envelope, data)
        event_id, time = envelope.get("event_id"), envelope.get("time")
        event: dict[str, object] = {
            "specversion": "1.0",
            "id": str(uuid.uuid4()) if event_id is None else event_id,
            "type": event_type,
            "source": self.source,
            "subject": subject,
            "time": format_rfc3339(self._clock.now()) if time is None else instant(cast(Instant, time), "time"),
        }
        if (received := envelope.get("received_time")) is not None:
            event["receivedtime"] = instant(cast(Instant, received), "received_time")
        event |= {name: envelope[name] for name in ("backfill", "traceparent") if envelope.get(name)}
        event["data"] = {
            name: json_value(value, name) for name, value in data.items() if value is not None or name == "severity"
        }
        return self.publish(event)

    def _acknowledged(self, delivery: Delivery, metadata: Any) -> None:
        with suppress(InvalidStateError):  # given up before
            delivery.set_result(Position(metadata.topic, metadata.partition, metadata.offset))
        self._unacknowledged.remove(delivery)

    def _not_acknowledged(self, delivery: Delivery, error: BaseException) -> None:
        retriable = not isinstance(error, _FINAL)
        what = f"{delivery.event['type']} {delivery.event['subject']} (id {delivery.event_id})"
        advice = (
            "it may or may not be in Kafka: send the same event again, with its id and time, and it counts once"
            if retriable
            else "sending it again will fail too until this is corrected"
        )
        failure = DeliveryFailed(
            f"{what} was not acknowledged by {self._brokers}: {_describe(error)}; {advice}",
            [delivery.event],
            retriable=retriable,
        )
        with suppress(InvalidStateError):  # it is acknowledged, or was given up before
            delivery.set_exception(failure)
            self._failures.add(delivery, failure)
        self._unacknowledged.remove(delivery)

    def _unknown_outcome(self) -> DeliveryFailed:
        """What to raise where time is over: the events that Kafka has neither acknowledged nor refused."""
        waiting = self._unacknowledged.deliveries()
        message = f"Kafka at {self._brokers} has not acknowledged all events in time; those may or may not be there"
        events = [delivery.event for delivery in waiting[:MOST_RETAINED]]
        return DeliveryFailed(message, events, retriable=True, count=len(waiting))


def _connected(brokers: str, timeout_s: float, kafka: Mapping[str, object]) -> Producer:
    if taken := sorted(_FIXED & kafka.keys()):
        raise ValueError(f"{taken[0]} can't be set: the guarantees of the publisher depend on it")
    timeout_ms = int(timeout_s * 1000)
    defaults: dict[str, object] = {
        "client_id": "sla-publisher",
        "allow_auto_create_topics": False,  # it would have neither the right partitions nor settings
        "delivery_timeout_ms": timeout_ms,
        "request_timeout_ms": max(timeout_ms // 2, 1),
        "max_block_ms": int(_CONNECT_S * 1000),
        "bootstrap_timeout_ms": int(_CONNECT_S * 1000),
    }
    try:
        made: Producer = kafka_python_clients.producer(
            bootstrap_servers=brokers.split(","),
            acks="all",
            enable_idempotence=True,
            **(defaults | dict(kafka)),
        )
    except (KafkaError, OSError) as error:
        raise BrokerUnavailable(explained_error(error, brokers)) from error
    return made


def _describe(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
