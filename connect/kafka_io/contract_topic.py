"""The contract topic for commands: reads its facts and publishes new ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from connect.client.contracts import ContractPublisher
from connect.client.errors import DeliveryFailed
from connect.contract_import.current_terms import ContractLog, ContractRecord
from connect.kafka_io.batches import SentRange
from connect.kafka_io.reader import Watch, in_order, read_topics, unwatched
from streams.schema_registry.schema_source import reading_codec
from streams.settings import Settings
from streams.sla.events import Position

#: What names these commands as the source of the facts that they publish (R1).
SOURCE = "/sla/cli"


def log_of(settings: Settings, watch: Watch = unwatched) -> ContractLog:
    """The facts in the topic now; `watch` shows how many are read. Raises BrokerProblem."""
    topic = f"{settings.topic_prefix}.contract-events"
    records = list(read_topics(settings.bootstrap(), [topic], settings.aiokafka_security(), watch=watch))
    records.sort(key=in_order)
    return ContractLog(
        (
            ContractRecord(each.value, each.arrival, Position(each.topic, each.partition, each.offset))
            for each in records
        ),
        settings.time_limits(),
        reading_codec(settings.schema_registry()).decode,
    )


def publish(settings: Settings, events: Iterable[Mapping[str, object]], source: str = SOURCE) -> list[SentRange]:
    """Publish facts; returns where each is, when the broker has acknowledged all. Raises ClientError."""
    brokers = ",".join(settings.bootstrap())
    prefix, security = settings.topic_prefix, settings.client_security()
    try:
        registry = settings.schema_registry()
        with ContractPublisher(brokers, source, prefix=prefix, kafka=security, schema_registry=registry) as publisher:
            deliveries = [publisher.publish(event) for event in events]
            publisher.flush()
            positions = [delivery.result() for delivery in deliveries]
    except DeliveryFailed as failure:
        raise DeliveryFailed(
            f"{failure}. Repeat the command: facts that did arrive are recognised and not sent twice",
            failure.events,
            retriable=failure.retriable,
        ) from failure
    return [SentRange(topic, partition, offset, offset + 1) for topic, partition, offset in positions]
