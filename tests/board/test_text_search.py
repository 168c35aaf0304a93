"""A text is looked for in open incidents and in the latest of the others, so that a search never reads everything."""

from __future__ import annotations

import pytest
from databases import Database
from replayed import ingest, replayed
from story import MONDAY, opened, policies, resolved, texts

from board.queries import incidents
from board.queries.incidents import IncidentFilter, Sort, list_incidents
from streams.sla.instants import DAY


@pytest.mark.parametrize("sort", ["next_deadline", "opened_at"])
def test_old_incidents_are_found_while_they_are_open(
    database: Database, monkeypatch: pytest.MonkeyPatch, sort: Sort
) -> None:
    monkeypatch.setattr(incidents, "MOST_SEARCHED", 2)
    lines = [opened("10:00", "cosmetic", of=f"old-{state}", tenants=["acme"]) for state in ("open", "resolved")]
    lines += [opened(f"1 1{number}:00", "cosmetic", of=f"new-{number}", tenants=["acme"]) for number in range(2)]
    for line in lines:
        line["data"]["summary"] = "Certificate 100% expired"
    lines += [resolved("11:00", of="old-resolved"), resolved("1 12:00", of="new-1")]
    ingest(database.engine, replayed(texts(lines), policies(), MONDAY + 2 * DAY))

    def found(text: str, *statuses: str) -> set[str]:
        with database.engine.connect() as connection:
            page = list_incidents(connection, IncidentFilter(statuses=statuses, text=text), sort)
        return {each.incident_id for each in page.incidents}

    assert found("certificate 100%") == {"old-open", "new-0", "new-1"}
    assert found("certificate", "open") == {"old-open", "new-0"}
    assert found("certificate", "resolved") == {"new-1"}
    assert found("100_") == set()
    assert found("OLD-open") == {"old-open"}
    assert found("old-resolved") == {"old-resolved"}
    assert found("old-resolved", "resolved") == {"old-resolved"}
    assert found("old-resolve") == set()
