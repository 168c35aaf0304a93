"""Signing in with a token: sessions, their end, and what a thief of a cookie or a foreign page can do with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from board_rows import NOW
from databases import Database
from fastapi import FastAPI
from fastapi.testclient import TestClient
from signed_in import MovingClock, access_app, board_settings, browser, csrf_of, token_of
from sqlalchemy import Engine, select

from board.access.rate_limit import MOST_PER_ADDRESS, WINDOW
from board.access.tokens import TOKEN_PREFIX, remove_token
from board.ingest.rebuild import empty
from board.settings import BoardSettings
from board.store.own_tables import audit_outbox, session
from connect.actions.person import Role
from streams.sla.instants import HOUR, MINUTE, SECOND

COOKIE = "board_session"


@pytest.fixture
def clock() -> MovingClock:
    return MovingClock(NOW)


@pytest.fixture
def settings(tmp_path: Path) -> BoardSettings:
    return board_settings(tmp_path)


@pytest.fixture
def app(empty_read_model: Engine, settings: BoardSettings, clock: MovingClock) -> FastAPI:
    return access_app(empty_read_model, settings, clock)


@pytest.fixture
def kim(app: FastAPI, settings: BoardSettings) -> TestClient:
    """Kim's browser, signed in."""
    client = browser(app)
    enter(client, token_of(settings, "kim", Role.RESPONDER))
    return client


def enter(client: TestClient, token: str, next_page: str = "/") -> None:
    answer = client.post("/sign-in", data={"token": token, "next": next_page})
    assert answer.status_code == 303
    assert answer.headers["location"] == next_page


def person_in(client: TestClient) -> str | None:
    """Whom the head of a page shows."""
    html = client.get("/").text
    return html.partition('class="person"')[2].partition(">")[2].partition("<")[0] or None


def audited(engine: Engine) -> list[tuple[str, str | None, str]]:
    with engine.connect() as connection:
        rows = connection.execute(select(audit_outbox).order_by(audit_outbox.c.id)).all()
    found = [(row.type, json.loads(row.data)) for row in rows]
    return [(kind, data["person_id"], data["outcome"]) for kind, data in found]


def test_without_sign_in_this_machine_reads_and_its_pages_offer_to_sign_in(app: FastAPI) -> None:
    client = browser(app)
    html = client.get("/").text
    assert 'href="/sign-in"' in html
    assert "csrf" not in html
    assert client.get("/api/v1/incidents").status_code == 200
    assert "set-cookie" not in client.get("/").headers


def test_a_token_begins_a_session_that_pages_show(
    app: FastAPI, settings: BoardSettings, empty_read_model: Engine
) -> None:
    client = browser(app)
    token = token_of(settings, "kim", Role.RESPONDER, Role.BILLING)
    assert token.startswith(TOKEN_PREFIX)
    answer = client.post("/sign-in", data={"token": f" {token}\n", "next": "/system?x=1"})
    assert answer.headers["location"] == "/system?x=1"
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Path=/" in cookie
    assert "Domain" not in cookie
    html = client.get("/").text
    assert "Signed in as Kim: responder, billing" in html
    assert "Kim としてサインイン中: 対応担当, 請求担当" in client.get("/?lang=ja").text
    with empty_read_model.connect() as connection:
        rows = connection.execute(select(session)).all()
    assert len(rows) == 1
    assert client.cookies[COOKIE] not in str(rows)
    assert token not in str(rows)
    assert token not in settings.tokens.read_text()
    assert audited(empty_read_model) == [("audit.signed_in", "kim", "ok")]


def test_a_wrong_token_begins_nothing(app: FastAPI, settings: BoardSettings, empty_read_model: Engine) -> None:
    token_of(settings, "kim", Role.RESPONDER)
    client = browser(app)
    answer = client.post("/sign-in", data={"token": f"{TOKEN_PREFIX}wrong"})
    assert answer.status_code == 401
    assert "This token is not known" in answer.text
    assert not client.cookies
    assert audited(empty_read_model) == [("audit.sign_in_failed", None, "failed")]


@pytest.mark.parametrize(
    "address",
    [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "evil",
        "/a\r\nX: 1",
        "javascript:1",
    ],
)
def test_a_sign_in_leads_to_pages_of_the_board_alone(app: FastAPI, settings: BoardSettings, address: str) -> None:
    token = token_of(settings, "kim", Role.VIEWER)
    answer = browser(app).post("/sign-in", data={"token": token, "next": address})
    assert answer.headers["location"] == "/"


def test_after_sign_out_the_cookie_is_worth_nothing(app: FastAPI, kim: TestClient, empty_read_model: Engine) -> None:
    stolen = kim.cookies[COOKIE]
    html = kim.get("/").text
    answer = kim.post("/sign-out", data={"csrf_token": csrf_of(html)})
    assert answer.status_code == 303
    assert not kim.cookies
    assert "You are signed out." in kim.get(answer.headers["location"]).text
    thief = browser(app)
    thief.cookies.set(COOKIE, stolen)
    assert person_in(thief) is None
    assert audited(empty_read_model)[-1] == ("audit.signed_out", "kim", "ok")


def test_a_session_that_is_not_used_ends(app: FastAPI, kim: TestClient, clock: MovingClock) -> None:
    for _ in range(3):  # use keeps it
        clock.move(29 * MINUTE)
        assert person_in(kim) == "Kim"
    clock.move(30 * MINUTE)
    assert person_in(kim) is None
    clock.move(-30 * MINUTE)
    clock.move(29 * MINUTE)
    assert person_in(kim) == "Kim"


def test_a_session_ends_after_its_lifetime_however_often_it_is_used(kim: TestClient, clock: MovingClock) -> None:
    for _ in range(47):
        clock.move(15 * MINUTE)
        assert person_in(kim) == "Kim"
    clock.move(15 * MINUTE)
    assert person_in(kim) is None


def test_sessions_that_are_over_are_deleted_at_the_next_sign_in(
    app: FastAPI, kim: TestClient, settings: BoardSettings, clock: MovingClock, empty_read_model: Engine
) -> None:
    clock.move(13 * HOUR)
    enter(browser(app), token_of(settings, "lee", Role.VIEWER))
    with empty_read_model.connect() as connection:
        assert [row.person_id for row in connection.execute(select(session))] == ["lee"]


def test_a_session_ends_with_its_token_and_has_its_present_roles(kim: TestClient, settings: BoardSettings) -> None:
    assert person_in(kim) == "Kim"
    document = json.loads(settings.tokens.read_text())
    document["tokens"][0]["roles"] = ["viewer", "billing"]
    settings.tokens.write_text(json.dumps(document))
    assert "Signed in as Kim: viewer, billing" in kim.get("/").text
    remove_token(settings.tokens, "kim")
    assert person_in(kim) is None


def test_a_sign_in_gives_a_new_id_and_ends_the_former_session(
    app: FastAPI, kim: TestClient, settings: BoardSettings
) -> None:
    """Session fixation: an id that somebody planted before the sign-in is not the session's afterwards."""
    former = kim.cookies[COOKIE]
    token = token_of(settings, "lee", Role.VIEWER)
    answer = kim.post("/sign-in", data={"token": token, "csrf_token": csrf_of(kim.get("/").text)})
    assert answer.status_code == 303
    assert kim.cookies[COOKIE] != former
    assert person_in(kim) == "Lee"
    thief = browser(app)
    thief.cookies.set(COOKIE, former)
    assert person_in(thief) is None
    victim = browser(app)
    victim.cookies.set(COOKIE, "planted", domain="127.0.0.1", path="/")
    enter(victim, token_of(settings, "max", Role.VIEWER))
    assert "planted" not in victim.cookies.values()


def test_a_cookie_that_is_there_twice_is_no_session(app: FastAPI, kim: TestClient) -> None:
    """A page of another port of this host can plant one beside the session's."""
    mine = kim.cookies[COOKIE]
    client = browser(app)
    assert "Kim" in client.get("/", headers={"Cookie": f"{COOKIE}={mine}"}).text
    assert "Kim" not in client.get("/", headers={"Cookie": f"{COOKIE}=planted; {COOKIE}={mine}"}).text


@pytest.mark.parametrize(
    ("fields", "headers", "status"),
    [
        ({}, {}, 403),
        ({"csrf_token": ""}, {}, 403),
        ({"csrf_token": "f" * 64}, {}, 403),
        ({}, {"X-CSRF-Token": "f" * 64}, 403),
        ({}, {"X-CSRF-Token": "ä"}, 403),
        ({"csrf_token": "own"}, {}, 303),
        ({}, {"X-CSRF-Token": "own"}, 303),
        ({"csrf_token": "own"}, {"X-CSRF-Token": "f" * 64}, 403),
        ({"csrf_token": "own"}, {"Origin": "http://evil.example"}, 403),
        ({"csrf_token": "own"}, {"Origin": "http://127.0.0.1:9999"}, 403),
        ({"csrf_token": "own"}, {"Sec-Fetch-Site": "cross-site"}, 403),
    ],
)
def test_a_request_that_changes_something_carries_the_token_of_its_session(
    kim: TestClient, fields: dict[str, str], headers: dict[str, str], status: int
) -> None:
    own = csrf_of(kim.get("/").text)
    given = {name: own if value == "own" else value for name, value in fields.items()}
    sent = {name: (own if value == "own" else value).encode() for name, value in headers.items()}
    assert kim.post("/sign-out", data=given, headers=sent).status_code == status
    assert person_in(kim) == (None if status == 303 else "Kim")


def test_the_token_of_another_session_is_refused(app: FastAPI, kim: TestClient, settings: BoardSettings) -> None:
    lee = browser(app)
    enter(lee, token_of(settings, "lee", Role.ADMIN))
    assert kim.post("/sign-out", data={"csrf_token": csrf_of(lee.get("/").text)}).status_code == 403
    assert kim.post("/live/changed", json={"ids": []}).status_code == 403
    own = {"X-CSRF-Token": csrf_of(kim.get("/").text)}
    assert kim.post("/live/changed", json={"ids": []}, headers=own).status_code == 200


def test_a_file_that_is_sent_with_a_form_carries_the_token_too(kim: TestClient) -> None:
    files = {"file": ("candidate.yaml", b"policy: [")}
    refused = kim.post("/what-if", data={"against": ""}, files=files)
    assert refused.status_code == 403
    assert "csrf_token" in refused.text
    own = csrf_of(kim.get("/what-if").text)
    assert kim.post("/what-if", data={"against": "", "csrf_token": own}, files=files).status_code == 422


def test_a_form_that_is_too_large_is_refused(kim: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("board.access.csrf.LARGEST_FORM", 1000)
    assert kim.post("/sign-out", data={"csrf_token": "x" * 2000}).status_code == 413


@pytest.mark.parametrize(
    "body",
    [
        {"data": {"token": "x", "other": "x" * 17_000}},
        {"data": {"token": "x"}, "files": {"file": ("f", b"x" * 17_000)}},
    ],
)
def test_a_sign_in_that_is_too_large_is_refused_before_it_is_read(app: FastAPI, body: dict[str, Any]) -> None:
    answer = browser(app).post("/sign-in", **body)
    assert answer.status_code == 413
    assert browser(app).post("/nowhere", **body).status_code == 404


def test_a_body_that_is_too_large_is_refused_at_every_address(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("board.access.enforce.LARGEST_FORM", 100)
    ids = ["inc-1"] * 50
    assert browser(app).post("/live/changed", json={"ids": ids[:1]}).status_code == 200
    assert browser(app).post("/live/changed", json={"ids": ids}).status_code == 413


def test_a_bearer_token_needs_neither_session_nor_csrf_token(app: FastAPI, settings: BoardSettings) -> None:
    client = TestClient(app, base_url="http://127.0.0.1")
    bearer = {"Authorization": f"Bearer {token_of(settings, 'robot', Role.RESPONDER)}"}
    assert client.get("/api/v1/incidents", headers=bearer).status_code == 200
    assert client.post("/live/changed", json={"ids": []}, headers=bearer).status_code == 200
    wrong = client.get("/api/v1/incidents", headers={"Authorization": "Bearer wrong"})
    assert wrong.status_code == 401
    assert wrong.headers["www-authenticate"].startswith("Bearer")
    assert wrong.headers["content-type"] == "application/problem+json"


def test_wrong_tokens_are_limited_per_address(app: FastAPI, settings: BoardSettings, clock: MovingClock) -> None:
    """Not valid ones: others may have the same address, such as that of a TLS proxy."""
    right = token_of(settings, "kim", Role.RESPONDER)
    client, other = browser(app, client=("192.0.2.1", 5)), browser(app, client=("192.0.2.2", 5))
    for _ in range(MOST_PER_ADDRESS):
        assert client.post("/sign-in", data={"token": "wrong"}).status_code == 401
    limited = client.post("/sign-in", data={"token": "wrong"})
    assert limited.status_code == 429
    assert limited.headers["retry-after"] == str(WINDOW // SECOND)
    assert "Try again in 300 s" in limited.text
    bearer = client.get("/api/v1/incidents", headers={"Authorization": "Bearer wrong"})
    assert bearer.status_code == 429
    assert bearer.headers["retry-after"] == "300"
    bearer = client.get("/api/v1/incidents", headers={"Authorization": f"Bearer {right}"})
    assert bearer.status_code == 200
    assert client.post("/sign-in", data={"token": "wrong"}).status_code == 429
    assert other.post("/sign-in", data={"token": right}).status_code == 303
    assert client.get("/").status_code == 200  # reading without a token is not limited
    clock.move(WINDOW)
    assert client.post("/sign-in", data={"token": "wrong"}).status_code == 401
    assert client.post("/sign-in", data={"token": right}).status_code == 303


def test_a_clock_that_is_set_back_keeps_nobody_waiting_until_it_has_caught_up(app: FastAPI, clock: MovingClock) -> None:
    client = browser(app, client=("192.0.2.1", 5))
    for _ in range(2):
        for _ in range(MOST_PER_ADDRESS):
            assert client.post("/sign-in", data={"token": "wrong"}).status_code == 401
        assert client.post("/sign-in", data={"token": "wrong"}).status_code == 429
        clock.move(-HOUR)


def test_all_addresses_of_an_ipv6_network_have_one_limit(app: FastAPI) -> None:
    for number in range(MOST_PER_ADDRESS):
        client = browser(app, client=(f"2001:db8:0:1::{number:x}", 5))
        assert client.post("/sign-in", data={"token": "wrong"}).status_code == 401
    next_one, other = (browser(app, client=(f"2001:db8:0:{number}::99", 5)) for number in (1, 2))
    assert next_one.post("/sign-in", data={"token": "wrong"}).status_code == 429
    assert other.post("/sign-in", data={"token": "wrong"}).status_code == 401


def test_wrong_tokens_are_limited_in_total_except_for_known_addresses(app: FastAPI, settings: BoardSettings) -> None:
    right = token_of(settings, "kim", Role.RESPONDER)
    known = browser(app, client=("192.0.2.250", 5))
    assert known.post("/sign-in", data={"token": right}).status_code == 303
    for number in range(200):
        client = browser(app, client=(f"198.51.100.{number}", 5))
        assert client.post("/sign-in", data={"token": "wrong"}).status_code == 401
    assert browser(app, client=("203.0.113.1", 5)).post("/sign-in", data={"token": "wrong"}).status_code == 429
    known.cookies.clear()
    assert known.post("/sign-in", data={"token": "wrong"}).status_code == 401
    assert known.post("/sign-in", data={"token": right}).status_code == 303


def test_sign_in_refusals_are_in_the_audit_log_while_they_are_not_limited(
    app: FastAPI, empty_read_model: Engine, settings: BoardSettings
) -> None:
    client = browser(app, client=("192.0.2.1", 5))
    for _ in range(MOST_PER_ADDRESS + 5):
        client.post("/sign-in", data={"token": "wrong"})
    assert audited(empty_read_model) == [("audit.sign_in_failed", None, "failed")] * MOST_PER_ADDRESS
    with empty_read_model.connect() as connection:
        assert "wrong" not in connection.execute(select(audit_outbox.c.data)).scalars().first().split('"reason"')[0]


def test_sessions_survive_a_rebuild_of_the_read_model(
    app: FastAPI, kim: TestClient, empty_read_model: Engine, settings: BoardSettings
) -> None:
    before = audited(empty_read_model)
    empty(empty_read_model)
    assert person_in(kim) == "Kim"
    assert audited(empty_read_model) == before != []


def test_sessions_and_audit_rows_are_the_same_in_both_databases(
    database: Database, settings: BoardSettings, clock: MovingClock
) -> None:
    kim = browser(access_app(database.engine, settings, clock))
    enter(kim, token_of(settings, "kim", Role.RESPONDER))
    clock.move(2 * MINUTE)
    assert person_in(kim) == "Kim"
    clock.move(29 * MINUTE)
    empty(database.engine)
    assert person_in(kim) == "Kim"
    kim.post("/sign-out", data={"csrf_token": csrf_of(kim.get("/").text)})
    assert person_in(kim) is None
    assert audited(database.engine) == [("audit.signed_in", "kim", "ok"), ("audit.signed_out", "kim", "ok")]
