"""The same rows follow in whatever order topics are read, however records are cut into transactions, and whatever
transactions are rolled back: on both databases."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random  # noqa: TID251 -- seeded

import pytest
from board_history import NOW, story
from databases import Database
from interleaving import apply_in_pieces, interleaved
from replayed import Topics, replayed
from slow_model import dump, slow_model, text_of
from story import MONDAY, annulled, opened, policies, responded, texts, updated

from board.ingest.rebuild import empty
from board.ingest.records import IngestRecord
from connect.notify.message import Message
from connect.notify.page import Page
from connect.notify.page_store_rows import Parked, changes, parked_row, pending_row, retry_rows
from streams.sla.instants import DAY


@pytest.fixture(scope="module")
def history() -> list[IngestRecord]:
    records = replayed(story(40), policies(), NOW)
    return [*records, *late_evidence(), *notifier(), *evicted(records)]


def late_evidence() -> list[IngestRecord]:
    """Verdicts that are taken back: a breach behind which a met stands, and windows that move along."""
    lines = texts(
        [
            opened("10:00", of="late", tenants=["acme"]),
            responded("10:30", of="late"),
            updated("11:00", of="late"),
            updated("14:00", of="late"),
            updated("11:40", of="late", received="15:00"),
            updated("12:20", of="late", received="16:00"),
            annulled("17:00", of="late"),
            opened("10:00", of="late-2", tenants=["b"]),
            updated("13:00", of="late-2"),
            responded("11:00", of="late-2", received="18:00"),
            opened("10:00", of="late-3"),
            responded("11:00", of="late-3"),
            opened("07:00", of="late-3", received="18:10"),
        ]
    )
    records = replayed(lines, policies(), MONDAY + 2 * DAY)
    return [record._replace(offset=record.offset + 100_000) for record in records]


def notifier() -> list[IngestRecord]:
    """A page that is opened and closed, and messages that are parked and discarded."""
    topics = Topics()
    event = {"type": "sla.breached", "data": {"incident_id": "late", "tenant_ids": ["acme"], "summary": "secret"}}
    message = Message("m1", "trigger", "response/1", event, 1, NOW, NOW)
    parked = Parked("pager", "late", message, "410 Gone", NOW)
    page = Page("late", {"response/1": NOW}, language=None)
    rows = [*changes("pager", None, page), pending_row("pager", "late", message), parked_row(parked)]
    rows += [*retry_rows(parked), *changes("pager", page, Page("late"))]
    for row in [*rows, parked_row(parked)]:
        topics.write("notifications", "late", NOW, row.value, key=row.key)
    return topics.records


def evicted(records: Sequence[IngestRecord]) -> list[IngestRecord]:
    """Tombstones of every third incident, and a state of one of them after it."""
    states = [record for record in records if record.topic == "incident-state"]
    offsets = {record.partition: 50_000 for record in states}
    found = []
    for state in [*(each._replace(value=None) for each in states[::3]), states[0]]:
        offsets[state.partition] += 1
        found.append(state._replace(offset=offsets[state.partition]))
    return found


@pytest.mark.parametrize("seed", range(3))
def test_any_interleaving_gives_the_rows_of_the_slow_model(
    database: Database, history: list[IngestRecord], seed: int
) -> None:
    random = Random(seed)
    apply_in_pieces(database.engine, interleaved(history, random), random)
    with database.engine.connect() as connection:
        found = dump(connection)
    expected = slow_model(history)
    assert any(row["superseded"] for row in expected["verdict"].values())
    assert expected["notification"]
    assert {name: len(rows) for name, rows in found.items()} == {name: len(rows) for name, rows in expected.items()}
    assert found == expected


def test_a_rebuild_gives_the_same_rows_byte_by_byte(database: Database, history: list[IngestRecord]) -> None:
    found = set()
    for seed in (4, 5):
        random = Random(seed)
        apply_in_pieces(database.engine, interleaved(history, random), random)
        with database.engine.connect() as connection:
            found.add(text_of(dump(connection)))
        empty(database.engine)
        with database.engine.connect() as connection:
            assert not any(dump(connection).values())
    assert len(found) == 1
