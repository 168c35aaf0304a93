"""Records of the rejected topic, numbered and decoded (R27)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from connect.kafka_io.reader import TopicReader, TopicRecord, Watch, in_order, read_topics, unwatched
from streams.runtime.dead_letter import RejectedHeaders, rejected_headers
from streams.schema_registry.schema_source import reading_codec
from streams.serde.codec import Decode, Fields
from streams.settings import Settings
from streams.sla.events import Rejection


class RejectedRecord(NamedTuple):
    """One rejected record: its number in the list (from 1), its headers, the record, and the decoded event if any."""

    number: int
    rejected: RejectedHeaders
    record: TopicRecord
    decoded: tuple[str, Fields] | None

    @property
    def event_id(self) -> str | None:
        """The event's, as far as there is one."""
        found = None if self.decoded is None else self.decoded[1].get("event_id")
        return found if isinstance(found, str) else None

    @property
    def original(self) -> str:
        """The coordinates of the original."""
        return f"{self.rejected.topic}/{self.rejected.partition}/{self.rejected.offset}"


def numbered(records: Sequence[TopicRecord], decode: Decode) -> Iterator[RejectedRecord]:
    """Records of the rejected topic by arrival; records of others are left out."""
    number = 0
    for record in sorted(records, key=in_order):
        rejected = rejected_headers(record.headers)
        if rejected is not None:
            number += 1
            found = decode(record.value, len(record.value or b""))
            yield RejectedRecord(number, rejected, record, None if isinstance(found, Rejection) else found)


def rejected_in(settings: Settings, watch: Watch = unwatched, *, values: bool = True) -> list[RejectedRecord]:
    """All rejected records there are now; `watch` shows how many are read. Without `values` only what a list shows is
    kept of each: after a wrong deployment there may be millions. Raises BrokerProblem."""
    topic = f"{settings.topic_prefix}.rejected"
    decode = reading_codec(settings.schema_registry()).decode
    records = read_topics(settings.bootstrap(), [topic], settings.aiokafka_security(), watch=watch)
    if values:
        return list(numbered(list(records), decode))
    listed = [_for_list(each) for record in records for each in numbered([record], decode)]
    listed.sort(key=lambda each: in_order(each.record))
    return [each._replace(number=number) for number, each in enumerate(listed, 1)]


def names_last_input(rejected: RejectedHeaders, value: bytes | None) -> bool:
    """Whether a record of the topic is a quarantine that names the last input of its subject: that was not rejected."""
    return rejected.code == "internal" and value is None


def rejected_originals(settings: Settings, topic: str, watch: Watch = unwatched) -> set[tuple[str, int, int]]:
    """The coordinates (topic, partition, offset) of the records of an input topic that were rejected. Raises
    BrokerProblem."""
    records = read_topics(
        settings.bootstrap(), [f"{settings.topic_prefix}.rejected"], settings.aiokafka_security(), watch=watch
    )
    found = ((rejected_headers(each.headers), each.value) for each in records)
    return {
        (each.topic, each.partition, each.offset)
        for each, value in found
        if each is not None and each.topic == topic and not names_last_input(each, value)
    }


def _for_list(entry: RejectedRecord) -> RejectedRecord:
    event_id: Fields = {"event_id": entry.event_id}
    decoded = None if entry.decoded is None else (entry.decoded[0], event_id)
    return entry._replace(record=entry.record._replace(value=None, headers=()), decoded=decoded)


def oldest_deleted(settings: Settings) -> bool:
    """Whether the topic had records before those that it has now, so that numbers of a list may have moved. Raises
    BrokerProblem."""
    with TopicReader(
        settings.bootstrap(), [f"{settings.topic_prefix}.rejected"], settings.aiokafka_security()
    ) as reader:
        reader.from_beginning()
        return any(reader.starts().values())


def rejected_at(settings: Settings, partition: int, offset: int) -> RejectedRecord | None:
    """The record at a position of the topic, read alone; None when it is not there any more. Raises BrokerProblem."""
    topic = f"{settings.topic_prefix}.rejected"
    with TopicReader(settings.bootstrap(), [topic], settings.aiokafka_security()) as reader:
        found = reader.at(partition, offset)
    if found is None:
        return None
    return next(numbered([found], reading_codec(settings.schema_registry()).decode), None)


def record_named(entries: Sequence[RejectedRecord], which: str, prefix: str) -> RejectedRecord | None:
    """The record of a number or of coordinates, with or without the topic's prefix; the latest of several."""
    found = [entry for entry in entries if which in {str(entry.number), entry.original}]
    found = found or [entry for entry in entries if f"{prefix}.{which}" == entry.original]
    return found[-1] if found else None
