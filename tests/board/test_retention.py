"""What is older than the retention is deleted in slices; what is still needed stays."""

from __future__ import annotations

from random import Random  # noqa: TID251 -- seeded

import pytest
from board_history import NOW, TENANTS, story
from databases import Database
from interleaving import apply_in_pieces, interleaved
from replayed import ingest, replayed
from slow_model import dump, text_of
from sqlalchemy import func, select
from story import erased, policies, texts

from board.ingest import retention
from board.ingest.rebuild import empty
from board.ingest.retention import expire
from board.store.tables import (
    contract,
    entry,
    incident,
    incident_tenant,
    maintenance,
    named_tenant,
    reject,
    statement,
    verdict,
)
from streams.serde.input_records import CONTRACT_EVENTS
from streams.sla.instants import DAY, format_rfc3339


def test_old_rows_go_in_slices_and_open_incidents_keep_theirs(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "SLICE", 50)
    apply_in_pieces(database.engine, replayed(story(40), policies(), NOW), Random(1))
    before = NOW - 2 * DAY
    deleted = list(expire(database.engine, before))
    assert max(deleted) == 50
    assert len(deleted) > 10
    with database.engine.connect() as connection:
        ended = select(func.count()).select_from(incident).where(incident.c.ended_at < before)
        assert connection.execute(ended).scalar() == 0
        old = select(entry.c.subject).where(entry.c.arrived_at < before).distinct()
        of_incidents = old.where(entry.c.topic != CONTRACT_EVENTS)
        assert connection.execute(of_incidents).scalars().all() == ["reopened"]
        assert {*TENANTS, "m-1", "m-3"} < set(connection.execute(old).scalars())
        month = format_rfc3339(before)[:7]
        assert connection.execute(select(func.min(verdict.c.month))).scalar() == month
        assert connection.execute(select(func.min(reject.c.rejected_at))).scalar() >= before  # type: ignore[operator]
        for table in (contract, statement):
            assert connection.execute(select(func.count()).select_from(table)).scalar()
        known = set(connection.execute(select(incident.c.incident_id)).scalars())
        assert set(connection.execute(select(incident_tenant.c.incident_id)).scalars()) <= known
        assert "inc-1" not in set(connection.execute(select(named_tenant.c.subject)).scalars())
    assert sum(expire(database.engine, before)) == 0
    # A tenant that is erased later is still known to be in an old window.
    ingest(database.engine, replayed(texts([erased(format_rfc3339(NOW), of="acme")]), policies(), NOW))
    with database.engine.connect() as connection:
        plans = connection.execute(select(maintenance.c.data).where(maintenance.c.maintenance_id == "m-2")).scalars()
        assert ["erased-" in plan and "acme" not in plan for plan in plans] == [True]


def test_a_rebuild_and_a_database_that_lived_on_come_to_the_same(database: Database) -> None:
    """Retention in the middle of a history deletes nothing that matters for what follows."""
    records = replayed(story(40), policies(), NOW)
    before, random = NOW - 30 * DAY, Random(3)
    apply_in_pieces(database.engine, records[: len(records) // 2], random)
    list(expire(database.engine, before - 100 * DAY))
    apply_in_pieces(database.engine, records[len(records) // 2 :], random)
    list(expire(database.engine, before))
    with database.engine.connect() as connection:
        lived = text_of(dump(connection))
    empty(database.engine)
    apply_in_pieces(database.engine, interleaved(records, random), random)
    list(expire(database.engine, before))
    with database.engine.connect() as connection:
        assert text_of(dump(connection)) == lived
