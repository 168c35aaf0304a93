"""The audit log on its page, in the API and as CSV: for admins of every tenant alone, filtered, page by page."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from audit_topic import NOBODY, acted, audit_line, audit_topic
from databases import Database
from fastapi.testclient import TestClient
from page_client import shown
from replayed import ingest, replayed
from signed_in import MovingClock, access_app, board_settings, token_of
from sqlalchemy import Engine
from story import MONDAY, maintenance, opened, policies, texts

from board.pages.audit_texts import KINDS
from board.queries.audit import TYPES, AuditFilter, list_audit
from board.store.engine import open_engine
from board.store.schema import upgrade
from connect.actions.person import Role
from streams.sla.instants import DAY, MINUTE, format_rfc3339

HOSTILE = "<script>alert(1)</script>"
ADDRESSES = ("/audit", "/audit/events.csv", "/api/v1/audit")


def lines() -> list[dict[str, Any]]:
    of_acme: dict[str, Any] = {"person": "pat", "tenants": ["acme"], "roles": ["viewer"]}
    return [
        audit_line("audit.sign_in_failed", "e1", MONDAY, **NOBODY, outcome="failed", reason="unknown token"),
        audit_line("audit.signed_in", "e2", MONDAY + 1 * MINUTE),
        audit_line("audit.denied", "e3", MONDAY + 2 * MINUTE, **of_acme, what="read-system", about="GET /system"),
        acted("e4", MONDAY + 3 * MINUTE, "resolve", "inc/1"),
        acted("e5", MONDAY + 4 * MINUTE, "cancel-maintenance", "m-1", outcome="unchanged", reason="cancelled_before"),
        acted("e6", MONDAY + 5 * MINUTE, "claim-credit", "globex", person="bill"),
        acted("e7", MONDAY + DAY, "import-contracts", None, events=3, event_ids=["a", "b", "c"], concerned=["globex"]),
        acted("e8", MONDAY + DAY + 1, "respond", HOSTILE, person="=1+1", reason=HOSTILE, outcome="of_a_later_release"),
        audit_line(
            "action.proposed",
            "p1",
            MONDAY + 2 * DAY,
            action="annul",
            incident_id="inc/1",
            tenants=["acme"],
            form="{}",
            expires_at=MONDAY + 9 * DAY,
        ),
        audit_line("action.approved", "e9", MONDAY + 2 * DAY + MINUTE, "lee", reason="secret words"),
    ]


def filled(engine: Engine) -> None:
    facts = [opened("10:00", of="inc/1", tenants=["acme"])]
    facts.append(maintenance("2026-02-01T00:00:00Z", "20:00", "21:00", tenants=["acme"], of="m-1"))
    ingest(engine, [*replayed(texts(facts), policies(), MONDAY + DAY), *audit_topic(lines()).records])


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    made = open_engine(f"sqlite:///{tmp_path_factory.mktemp('audit')}/board.db")
    upgrade(made)
    filled(made)
    yield made
    made.dispose()


def client_of(engine: Engine, directory: Path, *roles: Role, tenants: set[str] | None = None) -> TestClient:
    settings = board_settings(directory)
    token = token_of(settings, "ada", *roles, tenants=tenants)
    app = access_app(engine, settings, MovingClock(MONDAY + 3 * DAY))
    return TestClient(app, base_url="http://127.0.0.1", headers={"Authorization": f"Bearer {token}"})


@pytest.fixture
def admin(engine: Engine, tmp_path: Path) -> TestClient:
    return client_of(engine, tmp_path, Role.ADMIN)


def ids(client: TestClient, **given: str) -> list[str]:
    answer = client.get("/api/v1/audit", params=given)
    assert answer.status_code == 200, answer.text
    return [each["event_id"] for each in answer.json()["events"]]


@pytest.mark.parametrize("role", [None, *Role])
@pytest.mark.parametrize("tenants", [None, {"acme"}, {"globex"}])
def test_only_admins_without_a_limit_read_it_and_are_led_to_it(
    engine: Engine, tmp_path: Path, role: Role | None, tenants: set[str] | None
) -> None:
    client = client_of(engine, tmp_path, *(() if role is None else (role,)), tenants=tenants)
    may = role == Role.ADMIN and tenants is None
    for address in ADDRESSES:
        answer = client.get(address)
        assert answer.status_code == (200 if may else 403), address
        assert may == ("of-e4" in answer.text), address
    start = client.get("/")
    assert ('href="/audit"' in start.text) == may


def test_nobody_is_led_to_it_before_the_sign_in(engine: Engine, tmp_path: Path) -> None:
    proxy = {"sign_in": "proxy", "public_url": "https://board.example", "proxy_networks": "10.0.0.0/8"}
    app = access_app(engine, board_settings(tmp_path, **proxy), MovingClock(MONDAY))
    start = TestClient(app, base_url="https://board.example").get("/sign-in", headers={"Accept": "text/html"})
    assert 'href="/system"' in start.text
    assert 'href="/audit"' not in start.text


def test_the_api_has_every_field(admin: TestClient) -> None:
    found = {each["event_id"]: each for each in admin.get("/api/v1/audit").json()["events"]}
    assert list(found) == ["e9", "p1", "e8", "e7", "e6", "e5", "e4", "e3", "e2", "e1"]
    assert found["e3"] == {
        "event_id": "e3",
        "type": "audit.denied",
        "time": format_rfc3339(MONDAY + 2 * MINUTE),
        "person": "pat",
        "roles": ["viewer"],
        "tenants": ["acme"],
        "address": "192.0.2.7",
        "way": "session",
        "action": None,
        "permission": "read-system",
        "about_kind": None,
        "about": "GET /system",
        "outcome": "ok",
        "reason": None,
        "proposal_id": None,
        "events": 0,
        "event_ids": [],
    }
    assert (found["e4"]["about_kind"], found["e4"]["event_ids"]) == ("incident", ["of-e4"])
    assert (found["e9"]["outcome"], found["e9"]["about"], found["e9"]["proposal_id"]) == ("approved", "inc/1", "p1")
    assert "secret words" not in json.dumps(found)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"person": "bill"}, ["e6"]),
        ({"person": "nobody"}, []),
        ({"type": "audit.acted", "person": "kim"}, ["e7", "e5", "e4"]),
        ({"tenant": "acme"}, ["e9", "p1", "e5", "e4", "e3"]),
        ({"tenant": "globex"}, ["e7", "e6"]),
        ({"from": format_rfc3339(MONDAY + DAY)}, ["e9", "p1", "e8", "e7"]),
        ({"to": format_rfc3339(MONDAY + MINUTE)}, ["e1"]),
        ({"from": format_rfc3339(MONDAY + DAY), "to": format_rfc3339(MONDAY + DAY + 1)}, ["e7"]),
    ],
)
def test_filters(admin: TestClient, given: dict[str, str], expected: list[str]) -> None:
    assert ids(admin, **given) == expected


def test_filters_and_pages_are_the_same_in_both_databases(database: Database) -> None:
    filled(database.engine)
    with database.engine.connect() as connection:
        found, after = [], None
        while True:
            page = list_audit(connection, AuditFilter(tenant="acme"), after=after, limit=2)
            found += [each.event_id for each in page.events]
            after = page.after
            if after is None:
                break
    assert found == ["e9", "p1", "e5", "e4", "e3"]


def test_pages_of_the_api_have_each_event_once(admin: TestClient) -> None:
    found: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        answer = admin.get("/api/v1/audit", params={"limit": 3, **cursor}).json()
        found += [each["event_id"] for each in answer["events"]]
        if answer["next_cursor"] is None:
            break
        cursor = {"cursor": answer["next_cursor"]}
    assert found == ids(admin)
    assert admin.get("/api/v1/audit", params={"person": "kim", **cursor}).status_code == 400


@pytest.mark.parametrize(
    "given", [{"from": "yesterday"}, {"to": "2026-01-01"}, {"type": "audit.other"}, {"who": "kim"}, {"cursor": "x"}]
)
def test_wrong_parameters_are_refused(admin: TestClient, given: dict[str, str]) -> None:
    answer = admin.get("/api/v1/audit", params=given)
    assert answer.status_code == 400
    assert next(iter(given)) in answer.json()["detail"]


def test_the_page_says_what_happened_in_both_languages(admin: TestClient) -> None:
    html = admin.get("/audit").text
    text = shown(html)
    assert "kim Responder" in text or "kim responder" in text
    for expected in ("Failed sign-in", "nobody known", "needs read-system", "Resolve", "+2", "not sent: nothing to do"):
        assert expected in text, expected
    assert 'href="/incidents/inc%2F1"' in html
    assert 'href="/tenants/globex"' in html
    assert 'href="/maintenance/m-1"' in html
    assert 'href="/proposals/p1"' in html
    japanese = shown(admin.get("/audit?lang=ja").text)
    for expected in ("監査ログ", "サインインの失敗", "未送信：変更なし"):
        assert expected in japanese


def test_what_others_wrote_is_escaped(admin: TestClient) -> None:
    assert HOSTILE not in admin.get("/audit").text
    assert HOSTILE in unescape(admin.get("/audit").text)


def test_days_of_the_page_are_those_of_the_viewer(admin: TestClient) -> None:
    admin.cookies.set("board_zone", "Asia/Tokyo")
    rows = admin.get("/audit?from=2026-03-04&to=2026-03-04&person=kim").text
    assert rows.count("<tr data-row>") == sum(
        format_rfc3339(line["occurred_at"] + 9 * 60 * MINUTE).startswith("2026-03-04") and line["person"] == "kim"
        for line in lines()
    )
    assert "2026-13-01 is not a day." in shown(admin.get("/audit?from=2026-13-01").text)
    assert "Nothing matches these filters" in admin.get("/audit?person=x%00y&type=zzz").text


def test_the_csv_has_every_row_of_the_filters_and_no_formula(
    admin: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("board.queries.audit._AT_ONCE", 3)
    answer = admin.get("/audit/events.csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["event_id"] for row in rows] == ids(admin)
    assert next(row for row in rows if row["event_id"] == "e8")["person"] == "'=1+1"
    assert next(row for row in rows if row["event_id"] == "e7")["event_ids"] == "a b c"
    only = list(csv.DictReader(io.StringIO(admin.get("/audit/events.csv?person=bill").text)))
    assert [row["event_id"] for row in only] == ["e6"]


def test_many_events_come_in_pages(empty_read_model: Engine, tmp_path: Path) -> None:
    ingest(empty_read_model, audit_topic([audit_line("audit.signed_in", f"e{n}", MONDAY) for n in range(250)]).records)
    client = client_of(empty_read_model, tmp_path, Role.ADMIN)
    text, seen = client.get("/audit?person=kim").text, 0
    while True:
        seen += text.count("<tr data-row>")
        after = re.search(r'hx-get="([^"]+)"', text)
        if after is None:
            break
        assert "person=kim" in after[1]
        text = client.get(unescape(after[1]), headers={"HX-Request": "true"}).text
    assert seen == 250


def test_an_empty_log_says_so(empty_read_model: Engine, tmp_path: Path) -> None:
    client = client_of(empty_read_model, tmp_path, Role.ADMIN)
    assert "Nothing is in the audit log yet" in client.get("/audit").text
    assert client.get("/audit/events.csv").text.count("\r\n") == 1


def test_every_type_has_a_name() -> None:
    assert {each.partition(".")[2] for each in TYPES} == set(KINDS)
