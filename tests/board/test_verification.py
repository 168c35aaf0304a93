"""Statements recomputed from the events that the read model keeps: agreeing, tampered with, without their evidence."""

from __future__ import annotations

import json
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from board_history import NOW, story
from databases import copied
from fastapi.testclient import TestClient
from replayed import ingest, replayed
from sqlalchemy import Engine, delete, func, select, update
from story import policies

from board.app import create_app
from board.background.verification import (
    NoSuchStatement,
    Verification,
    VerificationRequest,
    verify_statement,
)
from board.ingest.retention import expire
from board.queries import history
from board.queries.history import every_input, extent, history_lines, whole_history_lines
from board.settings import BoardSettings
from board.store.engine import writing
from board.store.tables import entry, erased_tenant, statement
from streams.settings import Settings
from streams.sla.arrival import TimeLimits
from streams.sla.instants import DAY
from tests.waiting import TIMEOUT_S

JUNE = ("acme", "2026-06", 6)


def url(engine: Engine) -> str:
    return engine.url.render_as_string(hide_password=False)


def verified(engine: Engine, tenant: str, month: str, revision: int) -> Verification:
    request = VerificationRequest(url(engine), policies(), TimeLimits(), tenant, month, revision)
    return verify_statement(lambda done, total: None, request)


@pytest.fixture
def copy(read_model: Engine, tmp_path: Path) -> Iterator[Engine]:
    """The read model, to be written to."""
    engine = copied(read_model, tmp_path)
    yield engine
    engine.dispose()


def tamper(engine: Engine, key: tuple[str, str, int], **changes: Any) -> None:
    """Change terms of a stored statement."""
    where = (statement.c.tenant_id == key[0], statement.c.month == key[1], statement.c.revision == key[2])
    with writing(engine).begin() as connection:
        data = json.loads(connection.execute(select(statement.c.data).where(*where)).scalar_one())
        connection.execute(update(statement).where(*where).values(data=json.dumps(data | changes)))


def test_every_revision_of_some_months_follows_from_the_events(read_model: Engine) -> None:
    with read_model.connect() as connection:
        query = select(statement.c.tenant_id, statement.c.month, statement.c.revision).where(
            statement.c.month.in_(("2026-06", "2026-11"))
        )
        keys = [tuple(row) for row in connection.execute(query)]
        every = extent(connection, every_input()).events
    assert len(keys) > 20
    for key in keys:
        found = verified(read_model, *key)
        assert (found.difference, found.whole, found.possible) == (None, False, True), key
        assert 0 < found.events < every


def test_an_outage_that_was_left_out_is_named(copy: Engine) -> None:
    with copy.connect() as connection:
        data = json.loads(
            connection.execute(
                select(statement.c.data).where(statement.c.tenant_id == "acme", statement.c.revision == 6)
            ).scalar_one()
        )
    tamper(copy, JUNE, intervals=data["intervals"][1:])
    found = verified(copy, *JUNE)
    assert found.difference is not None
    assert (found.difference.term, found.difference.incidents, found.whole) == ("intervals", ("inc-36",), True)


@pytest.mark.parametrize(
    ("changes", "term"),
    [
        ({"credit": {"amount_minor": 60_001, "currency": "USD"}}, "credit"),
        ({"eligible_s": 2_592_001}, "eligible_s"),
        ({"monthly_charge": {"amount_minor": 1, "currency": "USD"}}, "monthly_charge"),
        ({"delta": {"amount_minor": 5, "currency": "USD"}}, "delta"),
        ({"digest": "0" * 64}, "digest"),
    ],
)
def test_the_first_term_that_differs_is_named(copy: Engine, changes: dict[str, Any], term: str) -> None:
    tamper(copy, JUNE, **changes)
    found = verified(copy, *JUNE)
    assert found.difference is not None
    assert found.difference.term == term


def test_a_change_of_the_events_is_found(copy: Engine) -> None:
    with writing(copy).begin() as connection:
        where = (entry.c.subject == "outage", entry.c.type == "incident.amended")
        connection.execute(delete(entry).where(*where))
    found = verified(copy, *JUNE)
    assert found.difference is not None
    assert (found.difference.term, found.difference.incidents) == ("intervals", ("outage",))


def test_contracts_older_than_the_retention_count(copy: Engine) -> None:
    before = NOW - 60 * DAY
    assert sum(expire(copy, before))
    with copy.connect() as connection:
        old = select(entry.c.type).where(entry.c.subject == "globex", entry.c.arrived_at < before)
        assert "contract.set" in connection.execute(old).scalars().all()
        months = select(statement.c.month, func.max(statement.c.revision)).where(statement.c.tenant_id == "globex")
        latest = months.group_by(statement.c.month).order_by(statement.c.month.desc()).limit(1)
        month, revision = connection.execute(latest).one()
    assert month >= "2026-10"
    found = verified(copy, "globex", month, revision)
    assert (found.difference, found.possible) == (None, True)


def test_without_its_evidence_a_statement_can_not_be_verified(copy: Engine) -> None:
    with writing(copy).begin() as connection:
        connection.execute(delete(entry).where(entry.c.subject == "outage"))
        connection.execute(delete(entry).where(entry.c.type == "contract.set", entry.c.subject == "acme"))
    found = verified(copy, *JUNE)
    assert not found.possible
    assert found.difference is None
    assert [name.partition(" ")[0] for name in found.missing] == ["incident", "contract"]
    assert found.missing[0] == "incident outage"


def test_of_an_erased_tenant_the_board_says_that_it_can_not(copy: Engine) -> None:
    with writing(copy).begin() as connection:
        connection.execute(erased_tenant.insert().values(pseudonym="acme", key_check=""))
    found = verified(copy, *JUNE)
    assert (found.possible, found.erased) == (False, True)


def test_a_revision_that_does_not_exist_is_an_error(read_model: Engine) -> None:
    with pytest.raises(NoSuchStatement, match="no revision 77 of acme, 2026-06"):
        verified(read_model, "acme", "2026-06", 77)


def test_the_history_is_the_same_page_by_page(read_model: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    with read_model.connect() as connection:
        found = extent(connection, every_input())
        once = list(history_lines(connection, every_input()))
    assert found.last is not None
    monkeypatch.setattr(history, "_ROWS", 97)
    assert list(whole_history_lines(read_model, found.last)) == once
    assert len(once) == found.events
    earlier = list(whole_history_lines(read_model, found.last - 1))
    assert 0 < len(earlier) < len(once)
    assert earlier == once[: len(earlier)]


def test_statements_of_loaded_history_follow_from_it(empty_read_model: Engine) -> None:
    """Backfilled facts arrive at their own time, and months that were over close when no more is expected (R32)."""
    lines = [json.dumps(json.loads(line) | {"backfill": True}) for line in story(60)]
    ingest(empty_read_model, replayed(lines, policies(), NOW))
    with empty_read_model.connect() as connection:
        query = select(statement.c.tenant_id, statement.c.month, statement.c.revision)
        keys = [tuple(row) for row in connection.execute(query.where(statement.c.tenant_id.in_(("acme", "hooli"))))]
    assert len(keys) > 10
    for key in keys:
        found = verified(empty_read_model, *key)
        assert (found.difference, found.possible) == (None, True), key


# -- on the page -----------------------------------------------------------------------------------------------------


@pytest.fixture
def client(copy: Engine) -> Iterator[TestClient]:
    app = create_app(copy, BoardSettings(), kafka=Settings(), policies=policies())
    yield TestClient(app, base_url="http://localhost", follow_redirects=False)
    app.state.context.background.close()


def finish(client: TestClient) -> None:
    jobs = client.app.state.context.background.verifications  # type: ignore[attr-defined]
    (job, *_) = jobs.all()
    assert jobs.wait(job.id, TIMEOUT_S).status == "done"


def test_a_button_verifies_a_statement_in_place(client: TestClient) -> None:
    address = "/tenants/acme/2026-06"
    page = client.get(address).text
    assert f'<form method="post" action="{address}/verification?revision=6"' in page
    started = client.post(f"{address}/verification?revision=6")
    assert (started.status_code, started.headers["location"]) == (303, f"{address}?revision=6#verification")
    going_on = client.get(f"{address}/verification?revision=6").text
    assert 'hx-trigger="every 1s"' in going_on or "Verified" in going_on
    finish(client)
    assert "Verified: every term follows from the log" in client.get(f"{address}?revision=6").text
    part = client.get(f"{address}/verification?revision=6").text
    assert "Verified" in part
    assert "hx-trigger" not in part
    assert "<html" not in part
    # Of another revision it says nothing.
    assert "Verified" not in client.get(f"{address}?revision=5").text


def test_the_page_names_the_term_that_differs(client: TestClient, copy: Engine) -> None:
    tamper(copy, JUNE, monthly_charge={"amount_minor": 1, "currency": "USD"})
    client.post("/tenants/acme/2026-06/verification?revision=6")
    finish(client)
    page = unescape(client.get("/tenants/acme/2026-06/verification?revision=6&lang=ja").text)
    assert "相違：monthly_charge" in page
    assert "150,000 USD minor units" in page


@pytest.mark.parametrize(
    ("address", "status"),
    [("/tenants/acme/2026-06/verification", 400), ("/tenants/acme/2026-06", 404), ("/tenants/acme", 404)],
)
def test_only_a_revision_can_be_verified(client: TestClient, address: str, status: int) -> None:
    assert client.post(address).status_code == status


def test_another_site_can_not_start_a_verification(client: TestClient) -> None:
    answer = client.post("/tenants/acme/2026-06/verification?revision=6", headers={"Origin": "http://evil.example"})
    assert answer.status_code == 403
