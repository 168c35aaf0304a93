"""Transactions of the ingest thread: bounded, and a record that can't be stored stops nothing."""

from __future__ import annotations

import pytest
import structlog
from board_history import NOW
from databases import Database
from replayed import replayed
from sqlalchemy import func, select
from story import MONDAY, opened, policies, responded, texts

from board.ingest import writer
from board.ingest.checkpoints import TopicPartitionRange, read_checkpoints, reconcile
from board.ingest.records import IngestRecord
from board.ingest.skipped import SkippedLog
from board.ingest.source import Piece
from board.ingest.writer import TransactionWriter, Work, transactions
from board.metrics import BoardMetrics
from board.store.engine import write_transaction
from board.store.tables import entry
from streams.kafka.records import UnreadBatch
from streams.settings import read_settings
from streams.sla.instants import HOUR

PLACE = ("incident-events", 0)


def record(offset: int, value: bytes | None = b"x", topic: str = "incident-events") -> IngestRecord:
    return IngestRecord(topic, 0, offset, NOW, b"k", value)


def piece(start: int, end: int, unread: list[UnreadBatch] | None = None) -> Piece:
    return Piece(PLACE, [record(offset) for offset in range(start, end - 1)], end, unread or [])


def test_transactions_are_bounded_and_cover_every_offset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "MAX_RECORDS", 4)
    other = Piece(("alerts", 1), [record(0, topic="alerts")], 7, [])
    works = list(transactions([piece(10, 20), other], {PLACE: 10, ("alerts", 1): 0}))
    assert [len(work.records) for work in works] == [4, 4, 2]
    assert [(work.before, work.after) for work in works] == [
        ({PLACE: 10}, {PLACE: 14}),
        ({PLACE: 14}, {PLACE: 18}),
        ({PLACE: 18, ("alerts", 1): 0}, {PLACE: 20, ("alerts", 1): 7}),
    ]


def test_a_transaction_ends_where_only_markers_follow() -> None:
    (work,) = transactions([Piece(PLACE, [], 12, [])], {PLACE: 10})
    assert (work.records, work.after) == ([], {PLACE: 12})


def started(database: Database) -> tuple[TransactionWriter, SkippedLog]:
    metrics = BoardMetrics()
    skipped = SkippedLog(metrics)
    with write_transaction(database.engine) as connection:
        reconcile(connection, {PLACE: TopicPartitionRange("", 0, 100)}, NOW)
    return TransactionWriter(database.engine, read_settings(), metrics, skipped), skipped


def test_what_is_no_event_is_skipped_and_told_with_its_coordinates(database: Database) -> None:
    write, skipped = started(database)
    good = next(each for each in incidents() if each.topic == "incident-events")
    unread = UnreadBatch.of(3, 5, 100, "ab", 10)
    records = [record(0, b"junk"), good._replace(partition=0, offset=1)]
    (work,) = transactions([Piece(PLACE, records, 6, [unread])], {PLACE: 0})
    with structlog.testing.capture_logs() as logs:
        _, count = write.write(work)
    assert (count, skipped.count) == (2, 2)
    told = [(each["event"], each["topic"], each["partition"], each["offset"], each["code"]) for each in logs]
    assert told == [
        ("record_skipped", "incident-events", 0, 5, "oversize"),
        ("record_skipped", "incident-events", 0, 0, "undecodable"),
    ]
    with database.engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(entry)).scalar() == 1
        assert read_checkpoints(connection)[PLACE].next_offset == 6


def test_one_record_that_the_database_refuses_is_skipped_alone(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    from board.ingest import rows

    make = rows.entry

    def too_large(*given: object) -> rows.Row:
        row = make(*given)  # type: ignore[arg-type]
        return row | {"occurred_at": 2**70} if row["offset"] == 1 else row

    monkeypatch.setattr(rows, "entry", too_large)
    write, skipped = started(database)
    good = next(each for each in incidents() if each.topic == "incident-events")
    records = [good._replace(partition=0, offset=offset) for offset in range(3)]
    write.write(Work({PLACE: 0}, {PLACE: 3}, records))
    assert skipped.count == 1
    with database.engine.connect() as connection:
        assert connection.execute(select(entry.c.offset).order_by(entry.c.offset)).scalars().all() == [0, 2]


def test_a_flood_of_skipped_records_is_summed_up() -> None:
    from streams.sla.events import Rejection

    skipped = SkippedLog(BoardMetrics())
    with structlog.testing.capture_logs() as logs:
        skipped.add((record(offset), Rejection("undecodable", "junk")) for offset in range(250))
        skipped.summarise()
        skipped.summarise()
    assert [each["event"] for each in logs].count("record_skipped") == 100
    assert [each for each in logs if each["event"] == "records_skipped"] == [
        {"event": "records_skipped", "log_level": "warning", "topic": "incident-events", "count": 150}
    ]
    assert skipped.count == 250


def incidents() -> list[IngestRecord]:
    return replayed(texts([opened("10:00", of="inc", tenants=["acme"])]), policies(), MONDAY + 11 * HOUR)


def test_responses_are_read_after_their_opening() -> None:
    """The helper of these tests writes what the agents write."""
    lines = texts([opened("10:00", of="inc"), responded("10:30", of="inc")])
    records = replayed(lines, policies(), MONDAY + 11 * HOUR)
    assert [each.topic for each in records if each.topic in {"incident-events", "alerts"}] == [
        "incident-events",
        "incident-events",
        "alerts",
    ]
