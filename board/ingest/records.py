"""Records as the board reads them, and what they hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from streams.serde.codec import Codec, Fields
from streams.serde.input_records import CONTRACT_EVENTS, INCIDENT_EVENTS
from streams.sla.events import CONTRACT_TYPES, INCIDENT_RANK, Rejection
from streams.sla.facts import to_event
from streams.topics import TOPIC_OF

INCIDENT_STATE: Final = "incident-state"
INCIDENTS: Final = "incidents"
ALERTS: Final = "alerts"
CREDITS: Final = "credits"
REJECTED: Final = "rejected"
NOTIFICATIONS: Final = "notifications"
AUDIT: Final = "audit"

#: What the board reads, without the prefix of the deployment.
TOPICS: Final = (
    INCIDENT_EVENTS,
    CONTRACT_EVENTS,
    INCIDENTS,
    ALERTS,
    INCIDENT_STATE,
    CREDITS,
    REJECTED,
    NOTIFICATIONS,
    AUDIT,
)
#: Topics of which Kafka keeps the newest record of each key.
COMPACTED: Final = (INCIDENT_STATE, NOTIFICATIONS)
#: A derived record, at most: the limit of its topics.
_LARGEST_BYTES = 5 * 1024 * 1024


class IngestRecord(NamedTuple):
    """One record. `topic` is without prefix, `timestamp` microseconds, UTC."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


def decoded(codec: Codec, record: IngestRecord) -> tuple[str, Fields] | Rejection:
    """Event type and Avro record of a record that belongs to its topic, or why it is skipped.

    An input that is invalid by itself is skipped too: the agents reject it, so it is in the topic of rejected input.
    Raises RegistryUnavailable.
    """
    found = codec.decode(record.value, _LARGEST_BYTES)
    if isinstance(found, Rejection):
        return found
    event_type, fields = found
    if event_type in INCIDENT_RANK or event_type in CONTRACT_TYPES:
        event = to_event(event_type, fields)
        if isinstance(event, Rejection):
            return event
    if TOPIC_OF.get(event_type) != record.topic:
        return Rejection("unknown_type", f"{event_type} does not belong to this topic")
    return found
