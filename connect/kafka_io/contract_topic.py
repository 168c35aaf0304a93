"""The contract topic for commands: reads its facts and publishes new ones."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

from connect.client.contracts import ContractPublisher
from connect.client.errors import DeliveryFailed
from connect.contract_import.current_terms import ContractLog, ContractRecord
from connect.kafka_io.batches import SentRange
from connect.kafka_io.connection import BrokerProblem
from connect.kafka_io.reader import TopicRecord, Watch, in_order, read_topics, unwatched
from connect.kafka_io.rejected_records import rejected_originals
from streams.schema_registry.schema_source import reading_codec
from streams.settings import Settings
from streams.sla.events import Position

#: What names these commands as the source of the facts that they publish (R1).
SOURCE = "/sla/cli"


def log_of(settings: Settings, watch: Watch = unwatched) -> ContractLog:
    """The facts in the topic now; `watch` shows how many are read. Raises BrokerProblem."""
    return _log(settings, _records(settings, watch))


def applied_log_of(
    settings: Settings, on_problem: Callable[[BrokerProblem], None], watch: Watch = unwatched
) -> ContractLog:
    """As `log_of`, without what workers rejected: also for what is not in this topic, such as a claim that the final
    statement found too late. Where what they rejected can't be read, `on_problem` is told why, and all facts count.
    Raises BrokerProblem."""
    records = _records(settings, watch)
    left_out: Collection[tuple[str, int, int]] = ()
    try:
        left_out = rejected_originals(settings, f"{settings.topic_prefix}.contract-events", watch)
    except BrokerProblem as problem:
        on_problem(problem)
    return _log(settings, [each for each in records if (each.topic, each.partition, each.offset) not in left_out])


def _records(settings: Settings, watch: Watch) -> list[TopicRecord]:
    topic = f"{settings.topic_prefix}.contract-events"
    records = list(read_topics(settings.bootstrap(), [topic], settings.aiokafka_security(), watch=watch))
    records.sort(key=in_order)
    return records


def _log(settings: Settings, records: Iterable[TopicRecord]) -> ContractLog:
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
