"""Opens subscriptions to alerts, credits and states of incidents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from kafka.errors import KafkaError

from connect.client.errors import BrokerUnavailable
from connect.client.subscription import SHUTDOWN_MS, OnUndecodable, Subscription
from streams.kafka import kafka_python_clients
from streams.kafka.causes import explained_error
from streams.schema_registry.client import SchemaRegistry
from streams.schema_registry.schema_source import reading_codec

#: Options that the guarantees of a subscription depend on.
_FIXED = frozenset(
    {
        "bootstrap_servers",
        "group_id",
        "isolation_level",
        "enable_auto_commit",
        "auto_offset_reset",
        "key_deserializer",
        "value_deserializer",
    }
)
_STARTS = ("earliest", "latest")
_CONNECT_MS = 10_000

Start = Literal["earliest", "latest"]


def consume_alerts(
    brokers: str,
    *,
    group: str,
    prefix: str = "sla",
    start: Start = "earliest",
    on_undecodable: OnUndecodable | None = None,
    kafka: Mapping[str, object] | None = None,
    schema_registry: SchemaRegistry | None = None,
) -> Subscription:
    """The alerts: `sla.warning`, `sla.update_due`, `sla.breached`, `sla.breach_retracted`, `sla.met`; those of one
    incident in order. Consumers with the same `group` share them.

    `brokers` is `host:port,…`; `start` is where a group begins that has committed nothing yet (the topic goes back more
    than a year); `kafka` goes to kafka.KafkaConsumer, `security_protocol` and so on; `schema_registry` is where the
    schemas of events in Confluent framing are. Raises BrokerUnavailable.
    """
    return _subscription(brokers, f"{prefix}.alerts", group, start, on_undecodable, kafka or {}, schema_registry)


def consume_credits(
    brokers: str,
    *,
    group: str,
    prefix: str = "sla",
    start: Start = "earliest",
    on_undecodable: OnUndecodable | None = None,
    kafka: Mapping[str, object] | None = None,
    schema_registry: SchemaRegistry | None = None,
) -> Subscription:
    """Credits: `credit.statement` (absolute: the highest `revision` of a tenant's month is right) and `credit.issued`
    (each to be booked once by its id), of one tenant in order. Otherwise as `consume_alerts`."""
    return _subscription(brokers, f"{prefix}.credits", group, start, on_undecodable, kafka or {}, schema_registry)


def consume_states(
    brokers: str,
    *,
    group: str,
    prefix: str = "sla",
    start: Start = "earliest",
    on_undecodable: OnUndecodable | None = None,
    kafka: Mapping[str, object] | None = None,
    schema_registry: SchemaRegistry | None = None,
) -> Subscription:
    """Present states of incidents: `incident.state`, each absolute, those of one incident in order. An event with
    `deleted` says that the incident is no longer retained. The topic keeps the newest state of each incident, so a new
    group begins with those and may miss states in between. A state may come again. Otherwise as `consume_alerts`."""
    place = (brokers, f"{prefix}.incident-state", group, start)
    return _subscription(*place, on_undecodable, kafka or {}, schema_registry, states=True)


def _subscription(
    brokers: str,
    topic: str,
    group: str,
    start: Start,
    on_undecodable: OnUndecodable | None,
    kafka: Mapping[str, object],
    schema_registry: SchemaRegistry | None,
    *,
    states: bool = False,
) -> Subscription:
    # The registry client does not retry: the subscription does, so it can be stopped in between.
    codec = reading_codec(schema_registry, 0.0)
    consumer, _ = open_consumer(brokers, topic, {"group_id": group, "client_id": f"sla-{group}"}, kafka, start)
    consumer.subscribe([topic])
    return Subscription(consumer, on_undecodable=on_undecodable, decode=codec.decode, states=states)


def open_consumer(
    brokers: str, topic: str, given: Mapping[str, object], kafka: Mapping[str, object], start: Start
) -> tuple[Any, frozenset[int]]:
    """A kafka.KafkaConsumer of committed records, and the partitions of a topic that exists. `kafka` are the caller's
    settings. Raises BrokerUnavailable, and ValueError for a setting that the guarantees depend on."""
    if taken := sorted(_FIXED & kafka.keys()):
        raise ValueError(f"{taken[0]} can't be set: the guarantees of the consumer depend on it")
    if start not in _STARTS:
        raise ValueError(f"start: allowed: {' or '.join(_STARTS)}, got {start!r}")
    defaults: dict[str, object] = {"allow_auto_create_topics": False, "bootstrap_timeout_ms": _CONNECT_MS}
    try:
        consumer = kafka_python_clients.consumer(
            bootstrap_servers=brokers.split(","),
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset=start,
            **(defaults | dict(given) | dict(kafka)),
        )
    except (KafkaError, OSError) as error:
        raise BrokerUnavailable(explained_error(error, brokers)) from error
    try:
        partitions = consumer.partitions_for_topic(topic)
        if not partitions:
            raise BrokerUnavailable(f"there is no topic {topic} at {brokers}; `sla topics apply` creates it")
    except BaseException as error:
        consumer.close(autocommit=False, timeout_ms=SHUTDOWN_MS)
        if isinstance(error, KafkaError):
            raise BrokerUnavailable(explained_error(error, brokers)) from error
        raise
    return consumer, frozenset(partitions)
