"""How far each partition has been applied: read at the start, written with the rows, and held against the topics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from board.ingest.records import COMPACTED, INCIDENT_STATE
from board.ingest.upserts import delete_keys
from board.store.chunks import chunks
from board.store.tables import checkpoint, incident, incident_tenant, notification
from streams.errors import SlaError
from streams.topics import declared

#: A topic without prefix, and a partition.
Place = tuple[str, int]
Positions = Mapping[Place, int]


class PartitionCheckpoint(NamedTuple):
    """`topic_id` is empty where the broker tells none; `current_at` is in microseconds."""

    topic_id: str
    next_offset: int
    current_at: int


class TopicPartitionRange(NamedTuple):
    """What a partition holds now: records of offsets from `start` up to, not including, `end`."""

    topic_id: str
    start: int
    end: int


class ReadModelRefused(SlaError):  # noqa: N818 -- it names what happened
    """The database does not follow from these topics; its text says what to do."""


class CheckpointMoved(Exception):  # noqa: N818 -- it names what happened
    """Another process has applied records or emptied the tables: what this one knows of the database is outdated."""


class Expired(NamedTuple):
    """Records that Kafka deleted before they were read: offsets from `start` up to, not including, `end`."""

    topic: str
    partition: int
    start: int
    end: int


def read_checkpoints(connection: Connection) -> dict[Place, PartitionCheckpoint]:
    """The checkpoint of every partition that has one."""
    return {
        (row.topic, row.partition): PartitionCheckpoint(row.topic_id, row.next_offset, row.current_at)
        for row in connection.execute(select(checkpoint))
    }


def position_of(checkpoints: Iterable[int]) -> int:
    """One number that grows with every transaction, from all next offsets."""
    return sum(checkpoints)


def advance(connection: Connection, before: Positions, after: Positions) -> None:
    """Move the checkpoints of the partitions in `after`. Raises CheckpointMoved when they are not at `before`."""
    topics = sorted({topic for topic, _ in after})
    query = select(checkpoint.c.topic, checkpoint.c.partition, checkpoint.c.next_offset)
    query = query.where(checkpoint.c.topic.in_(topics)).with_for_update()
    found = {(topic, partition): offset for topic, partition, offset in connection.execute(query)}
    for place in after:
        if found.get(place) != before[place]:
            raise CheckpointMoved
    at = (checkpoint.c.topic == bindparam("t"), checkpoint.c.partition == bindparam("p"))
    rows = [{"t": topic, "p": partition, "n": offset} for (topic, partition), offset in after.items()]
    connection.execute(update(checkpoint).where(*at).values(next_offset=bindparam("n")), rows)


def note_current(connection: Connection, places: Iterable[Place], now: int) -> None:
    """These partitions are read to their ends at `now` (microseconds)."""
    at = (checkpoint.c.topic == bindparam("t"), checkpoint.c.partition == bindparam("p"))
    rows = [{"t": topic, "p": partition, "now": now} for topic, partition in places]
    if rows:
        connection.execute(update(checkpoint).where(*at).values(current_at=bindparam("now")), rows)


def reconcile(
    connection: Connection, ranges: Mapping[Place, TopicPartitionRange], now: int
) -> tuple[dict[Place, int], list[Expired]]:
    """Where to read each partition from, and what is missing because Kafka deleted it first.

    Creates the checkpoints of new partitions. A partition of a compacted topic that has not been read for longer than
    Kafka shows deletions is read again from its start, without its old rows. Raises ReadModelRefused for a topic that
    was created anew or has lost records.
    """
    checkpoints = read_checkpoints(connection)
    positions: dict[Place, int] = {}
    expired: list[Expired] = []
    for place, found in sorted(ranges.items()):
        known = checkpoints.get(place)
        if known is None:
            _create(connection, place, found, now)
            positions[place] = found.start
            continue
        _check(place, known, found)
        positions[place] = known.next_offset
        if place[0] in COMPACTED and now - known.current_at > _DELETIONS_US[place[0]]:
            _read_again(connection, place)
            _create(connection, place, found, now)
            positions[place] = found.start
            continue
        if known.next_offset < found.start:
            expired.append(Expired(*place, known.next_offset, found.start))
            advance(connection, {place: known.next_offset}, {place: found.start})
            positions[place] = found.start
    return positions, expired


def _check(place: Place, known: PartitionCheckpoint, found: TopicPartitionRange) -> None:
    topic, partition = place
    what = "Build the read model anew from the topics as they are now: sla board --rebuild"
    if known.topic_id and found.topic_id and known.topic_id != found.topic_id:
        raise ReadModelRefused(f"the topic {topic} was deleted and created anew since the board read it. {what}")
    if known.next_offset > found.end:
        raise ReadModelRefused(
            f"the board has read partition {partition} of the topic {topic} up to offset {known.next_offset:,}, but it "
            f"ends at {found.end:,}: it was created anew or has lost records. {what}"
        )


def _create(connection: Connection, place: Place, found: TopicPartitionRange, now: int) -> None:
    row = {"topic": place[0], "partition": place[1], "topic_id": found.topic_id, "next_offset": found.start}
    connection.execute(insert(checkpoint).values(row | {"current_at": now}))


def _read_again(connection: Connection, place: Place) -> None:
    """Delete what follows from a partition of a compacted topic, and its checkpoint."""
    topic, partition = place
    if topic == INCIDENT_STATE:
        gone = connection.execute(select(incident.c.incident_id).where(incident.c.partition == partition)).scalars()
        for chunk in chunks(gone.all()):
            delete_keys(connection, incident_tenant.c.incident_id, chunk)
            delete_keys(connection, incident.c.incident_id, chunk)
    else:
        connection.execute(delete(notification).where(notification.c.partition == partition))
    connection.execute(delete(checkpoint).where(checkpoint.c.topic == topic, checkpoint.c.partition == partition))


#: A tenth less than Kafka shows deletions: clocks differ, and reading takes time.
_DELETIONS_US = {
    spec.name.removeprefix("sla."): int(spec.keeps_deletions.total_seconds() * 900_000)
    for spec in declared("sla")
    if spec.name.removeprefix("sla.") in COMPACTED
}
