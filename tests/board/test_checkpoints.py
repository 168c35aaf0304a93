"""Where a board reads on: from its checkpoints, unless the topics are no longer those that it read."""

from __future__ import annotations

import pytest
from databases import Database
from sqlalchemy import func, insert, select

from board.ingest.checkpoints import (
    CheckpointMoved,
    Expired,
    ReadModelRefused,
    TopicPartitionRange,
    advance,
    note_current,
    read_checkpoints,
    reconcile,
)
from board.store.engine import write_transaction
from board.store.tables import notification
from streams.sla.instants import HOUR

NOW = 1_000 * HOUR
ALERTS, NOTES = ("alerts", 0), ("notifications", 0)


def found(start: int = 10, end: int = 20, topic_id: str = "t1") -> dict[tuple[str, int], TopicPartitionRange]:
    return {ALERTS: TopicPartitionRange(topic_id, start, end), NOTES: TopicPartitionRange("t2", 0, 9)}


def reconciled(database: Database, now: int = NOW, **given: object) -> tuple[dict[tuple[str, int], int], list[Expired]]:
    with write_transaction(database.engine) as connection:
        return reconcile(connection, found(**given), now)  # type: ignore[arg-type]


def advanced(database: Database, before: int, after: int) -> None:
    with write_transaction(database.engine) as connection:
        advance(connection, {ALERTS: before}, {ALERTS: after})


def test_a_new_partition_is_read_from_its_start_and_then_from_its_checkpoint(database: Database) -> None:
    assert reconciled(database) == ({ALERTS: 10, NOTES: 0}, [])
    advanced(database, 10, 15)
    assert reconciled(database) == ({ALERTS: 15, NOTES: 0}, [])


def test_a_process_that_is_behind_another_writes_nothing(database: Database) -> None:
    reconciled(database)
    advanced(database, 10, 15)
    with pytest.raises(CheckpointMoved):
        advanced(database, 10, 12)
    with database.engine.connect() as connection:
        assert read_checkpoints(connection)[ALERTS].next_offset == 15


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"topic_id": "another"}, "the topic alerts was deleted and created anew"),
        ({"start": 0, "end": 14}, "partition 0 of the topic alerts up to offset 15, but it ends at 14"),
    ],
)
def test_a_topic_that_is_another_is_refused_with_what_to_do(
    database: Database, given: dict[str, object], message: str
) -> None:
    reconciled(database)
    advanced(database, 10, 15)
    with pytest.raises(ReadModelRefused, match=f"{message}.*sla board --rebuild"):
        reconciled(database, **given)


def test_a_broker_that_tells_no_ids_is_believed(database: Database) -> None:
    reconciled(database)
    assert reconciled(database, topic_id="")[1] == []


def test_records_that_expired_unread_are_named(database: Database) -> None:
    reconciled(database)
    positions, expired = reconciled(database, start=18)
    assert expired == [Expired("alerts", 0, 10, 18)]
    assert positions[ALERTS] == 18
    advanced(database, 18, 19)


@pytest.mark.parametrize(("away", "again"), [(HOUR // 2, False), (2 * HOUR, True)])
def test_a_compacted_topic_is_read_again_after_its_deletions_may_have_gone(
    database: Database, away: int, again: bool
) -> None:
    """Kafka shows that a key was deleted for an hour: who comes later would keep its row for ever."""
    reconciled(database)
    row = {"key": "k", "destination": "d", "kind": "page", "written_at": 1, "partition": 0, "offset": 3, "data": "{}"}
    with write_transaction(database.engine) as connection:
        connection.execute(insert(notification).values(row))
        advance(connection, {NOTES: 0}, {NOTES: 9})
        note_current(connection, [NOTES], NOW + 5 * HOUR)
    positions, _ = reconciled(database, NOW + 5 * HOUR + away)
    assert positions[NOTES] == (0 if again else 9)
    with database.engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(notification)).scalar() == (0 if again else 1)
