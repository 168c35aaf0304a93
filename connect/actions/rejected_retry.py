"""`sla rejected retry`: sends a rejected input again, corrected or as it was, with its history in headers (R27)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from connect.kafka_io.batches import SentRange, sending
from connect.kafka_io.connection import partitions_of
from connect.kafka_io.reader import TopicReader
from connect.kafka_io.rejected_records import RejectedRecord, names_last_input
from streams.errors import SlaError
from streams.kafka.partitioner import partition_of
from streams.runtime import dead_letter
from streams.runtime.dead_letter import original_size
from streams.schema_registry.schema_source import reading_codec, writing_frame
from streams.schema_registry.subjects import INPUT_TYPES
from streams.serde.input_checks import untimely
from streams.serde.input_records import (
    CONTRACT_EVENTS,
    INCIDENT_EVENTS,
    InputRecord,
    input_record,
    input_record_from_line,
)
from streams.settings import Settings
from streams.sla.events import Rejection
from streams.time_source import TimeSource

_HISTORY = "sla_"
_HOW = "correct it with --with FILE"


class NotRetriable(SlaError):  # noqa: N818 -- it names what happened
    """A rejected record that would be rejected again, or that can't be found."""


class RetryRecord(NamedTuple):
    """A record to send; `partition` None: that of the key."""

    topic: str
    partition: int | None
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]
    backfill: bool


def retry_record(
    entry: RejectedRecord,
    settings: Settings,
    clock: TimeSource,
    *,
    corrected: str | None = None,
    backfill: bool = False,
) -> RetryRecord:
    """The record that retries a rejected one. `corrected` is one line of JSON that replaces its event; with `backfill`
    the event becomes history being loaded. Raises NotRetriable, BrokerProblem."""
    history = [(name, value) for name, value in entry.record.headers if name.startswith(_HISTORY)]
    if corrected is not None:
        return _checked(entry, input_record_from_line(corrected, backfill=backfill), history, settings, clock)
    if is_request(entry):
        raise NotRetriable(
            f"{entry.original} is the body of a request to the intake, not an event; correct the mapping file, try it "
            "with `sla intake test` and have the sender send it again, or give the event itself with --with FILE"
        )
    size = original_size(entry.record.headers)
    if size is not None:
        raise NotRetriable(f"{entry.original} is too large to be sent again ({size:,} bytes); {_HOW}")
    if names_last_input(entry.rejected, entry.record.value):
        return _last_input(entry, history, settings)
    if not _is_input(entry, settings):  # a copy within the product: it goes where it came from
        place, copy = entry.rejected, entry.record
        return RetryRecord(place.topic, place.partition, copy.key, copy.value, list(copy.headers), False)
    decoded = reading_codec(settings.schema_registry()).decode(entry.record.value)
    if isinstance(decoded, Rejection):
        raise _again(entry, decoded)
    if entry.rejected.code == "conflict":
        raise NotRetriable(f"{entry.original}: its id belongs to another event; {_HOW}, under a new id")
    event_type, fields = decoded
    if backfill:
        return _checked(entry, input_record(event_type, {**fields, "backfill": True}), history, settings, clock)
    same = _checked(entry, input_record(event_type, fields), history, settings, clock)
    headers = list(entry.record.headers)
    return same._replace(value=entry.record.value, key=entry.record.key or same.key, headers=headers)


def is_request(entry: RejectedRecord) -> bool:
    """Whether the intake rejected it before it was an event, so that no topic has its original."""
    return entry.rejected.topic.startswith("intake/")


def superseded(entries: Sequence[RejectedRecord]) -> set[str]:
    """The originals that were retried and rejected again: a later reject has them in its history."""
    found: set[str] = set()
    for entry in entries:
        topics, partitions, offsets = (
            [value.decode(errors="replace") for name, value in entry.record.headers if name == wanted]
            for wanted in (dead_letter.TOPIC, dead_letter.PARTITION, dead_letter.OFFSET)
        )
        found |= {"/".join(parts) for parts in zip(topics[:-1], partitions, offsets, strict=False)}
    return found


def send(settings: Settings, records: Sequence[RetryRecord]) -> list[SentRange]:
    """Send records; returns where they are, when the broker has acknowledged all. Raises BrokerProblem."""
    return asyncio.run(_send(settings, records))


async def _send(settings: Settings, records: Sequence[RetryRecord]) -> list[SentRange]:
    brokers, security = settings.bootstrap(), settings.aiokafka_security()
    partitions = await partitions_of(brokers, {record.topic for record in records}, security)
    async with sending(brokers, security) as batches:
        for record in records:
            partition = record.partition
            if partition is None:
                key = record.key.decode(errors="replace") if record.key is not None else ""
                partition = partition_of(key, len(partitions[record.topic]))
            await batches.add(record.topic, partition, record.key, record.value, record.headers)
    return batches.ranges


def _checked(
    entry: RejectedRecord,
    ready: InputRecord | Rejection,
    history: list[tuple[str, bytes]],
    settings: Settings,
    clock: TimeSource,
) -> RetryRecord:
    if isinstance(ready, Rejection):
        raise _again(entry, ready)
    rejection = untimely(ready.event, clock.now(), settings.time_limits())
    if rejection is not None:
        raise _again(entry, rejection)
    frame = writing_frame(settings.schema_registry(), settings.topic_prefix, INPUT_TYPES)
    topic, key = f"{settings.topic_prefix}.{ready.topic}", ready.subject.encode()
    return RetryRecord(topic, None, key, frame(ready.value), [*ready.headers, *history], ready.event.backfill)


def _last_input(entry: RejectedRecord, history: list[tuple[str, bytes]], settings: Settings) -> RetryRecord:
    """The last input of a quarantined subject: sent again it changes nothing, but lifts the quarantine."""
    place = entry.rejected
    subject = (entry.record.key or b"").decode(errors="replace")
    if place.offset < 0 or not _is_input(entry, settings):
        raise NotRetriable(f"{entry.original}: {subject} has no last input to send again; publish any fact of it")
    with TopicReader(settings.bootstrap(), [place.topic], settings.aiokafka_security()) as reader:
        found = reader.at(place.partition, place.offset)
    if found is None:
        raise NotRetriable(f"{entry.original} is no longer in the topic; publish any fact of {subject}")
    return RetryRecord(place.topic, None, found.key, found.value, [*found.headers, *history], False)


def _is_input(entry: RejectedRecord, settings: Settings) -> bool:
    inputs = {f"{settings.topic_prefix}.{suffix}" for suffix in (INCIDENT_EVENTS, CONTRACT_EVENTS)}
    return entry.rejected.topic in inputs


def _again(entry: RejectedRecord, rejection: Rejection) -> NotRetriable:
    how = f"{_HOW}, or load it as history with --backfill" if rejection.code == "too_late" else _HOW
    return NotRetriable(f"{entry.original} would be rejected again: {rejection.code}: {rejection.message}; {how}")
