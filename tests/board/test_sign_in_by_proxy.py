"""A reverse proxy signs people in: its headers count from its networks alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from board_rows import NOW
from fastapi import FastAPI
from fastapi.testclient import TestClient
from signed_in import HTML, MovingClock, access_app, board_settings, csrf_of, token_of
from sqlalchemy import Engine, select

from board.access.addresses import client_address
from board.access.rate_limit import MOST_PER_ADDRESS
from board.settings import BoardSettings, read_board_settings
from board.store.own_tables import audit_outbox
from connect.actions.person import Role
from streams.errors import SettingsError

URL = "https://board.example"
KIM = {"X-Forwarded-User": "kim", "X-Forwarded-Preferred-Username": "Kim", "X-Forwarded-Groups": "ops, staff"}


@pytest.fixture
def settings(tmp_path: Path) -> BoardSettings:
    return board_settings(
        tmp_path,
        sign_in="proxy",
        host="0.0.0.0",
        public_url=URL,
        proxy_networks="10.0.0.0/8,::1",
        roles="ops=responder,books=billing",
    )


@pytest.fixture
def app(empty_read_model: Engine, settings: BoardSettings) -> FastAPI:
    return access_app(empty_read_model, settings, MovingClock(NOW))


def through(app: FastAPI, peer: str = "10.1.2.3", **given: Any) -> TestClient:
    """Requests that arrive from an address."""
    return TestClient(app, base_url=URL, client=(peer, 5), headers=HTML, follow_redirects=False, **given)


def test_the_proxys_headers_name_the_person(app: FastAPI) -> None:
    html = through(app).get("/", headers=KIM)
    assert html.status_code == 200
    assert "Signed in as Kim: responder" in html.text
    assert "/sign-out" not in html.text
    assert through(app, "::1").get("/", headers=KIM).status_code == 200
    assert through(app, "::ffff:10.1.2.3").get("/", headers=KIM).status_code == 200


@pytest.mark.parametrize("peer", ["192.0.2.9", "11.0.0.1", "::2", "testclient"])
@pytest.mark.parametrize("name", KIM)
def test_a_forged_header_is_refused_and_audited(app: FastAPI, empty_read_model: Engine, peer: str, name: str) -> None:
    answer = through(app, peer).get("/api/v1/incidents", headers={name: "kim"})
    assert answer.status_code == 403
    assert "SLA_BOARD_PROXY_NETWORKS" in answer.json()["detail"]
    with empty_read_model.connect() as connection:
        (row,) = connection.execute(select(audit_outbox)).all()
    assert row.type == "audit.sign_in_failed"
    assert json.loads(row.data)["address"] == peer


def test_a_flood_of_forged_headers_does_not_fill_the_log(app: FastAPI, empty_read_model: Engine) -> None:
    for _ in range(MOST_PER_ADDRESS * 2):
        assert through(app, "192.0.2.9").get("/api/v1/incidents", headers=KIM).status_code == 403
    with empty_read_model.connect() as connection:
        assert len(connection.execute(select(audit_outbox)).all()) == MOST_PER_ADDRESS


@pytest.mark.parametrize("peer", ["10.1.2.3", "192.0.2.9"])
def test_without_headers_nobody_reads(app: FastAPI, peer: str) -> None:
    for path in ("/", "/tenants/acme", "/api/v1/incidents", "/live/changes"):
        answer = through(app, peer).get(path)
        assert answer.status_code == 401
        assert "through its reverse proxy" in answer.text


def test_a_header_that_is_there_twice_is_refused(app: FastAPI) -> None:
    """One of both may be the client's own, which the proxy passed on."""
    answer = through(app).get("/api/v1/incidents", headers=[*KIM.items(), ("X-Forwarded-User", "root")])
    assert answer.status_code == 403
    assert "is there 2 times" in answer.text


@pytest.mark.parametrize("identity", ["x" * 129, "a\x7fb"])
def test_a_name_that_no_event_can_carry_is_refused(app: FastAPI, identity: str) -> None:
    assert through(app).get("/api/v1/incidents", headers=KIM | {"X-Forwarded-User": identity}).status_code == 403


def test_names_may_have_any_letters(app: FastAPI) -> None:
    headers = {**KIM, "X-Forwarded-Preferred-Username": "東京".encode()}
    assert "Signed in as 東京" in through(app).get("/", headers=headers).text


@pytest.mark.parametrize(
    ("header", "allowed"),
    [("acme", True), ("acme, beta", True), ("", False), (None, False), ("*", True), ("*,a", True)],
)
def test_tenants_are_those_of_the_header(
    empty_read_model: Engine, settings: BoardSettings, header: str | None, allowed: bool
) -> None:
    limited = settings.model_copy(update={"proxy_tenants_header": "X-Tenants"})
    client = through(access_app(empty_read_model, limited, MovingClock(NOW)))
    headers = KIM if header is None else KIM | {"X-Tenants": header}
    html = client.get("/sign-in", headers=headers).text
    assert ("Tenants: –" in html) == (not allowed)
    assert ("Tenants:" in html) == (header != "*")


def test_forms_carry_a_token_that_follows_from_a_cookie_and_the_person(app: FastAPI) -> None:
    client = through(app)
    page = client.get("/what-if", headers=KIM)
    cookie = page.headers["set-cookie"]
    assert cookie.startswith("__Host-board_browser=")
    assert "Secure" in cookie
    assert "HttpOnly" in cookie
    own = csrf_of(page.text)
    assert "set-cookie" not in client.get("/", headers=KIM).headers
    post = {"json": {"ids": []}}
    assert client.post("/live/changed", headers=KIM, **post).status_code == 403
    assert client.post("/live/changed", headers=KIM | {"X-CSRF-Token": own}, **post).status_code == 200
    lee = KIM | {"X-Forwarded-User": "lee"}
    assert client.post("/live/changed", headers=lee | {"X-CSRF-Token": own}, **post).status_code == 403
    assert through(app).post("/live/changed", headers=KIM | {"X-CSRF-Token": own}, **post).status_code == 403
    foreign = KIM | {"X-CSRF-Token": own, "Origin": "https://evil.example"}
    assert client.post("/live/changed", headers=foreign, **post).status_code == 403
    ours = KIM | {"X-CSRF-Token": own, "Origin": URL}
    assert client.post("/live/changed", headers=ours, **post).status_code == 200


def test_a_token_of_the_tokens_file_works_and_the_proxys_own_are_left_alone(
    app: FastAPI, settings: BoardSettings
) -> None:
    token = token_of(settings, "robot", Role.RESPONDER)
    client = through(app, "192.0.2.9")
    assert client.get("/api/v1/incidents", headers={"Authorization": f"Bearer {token}"}).status_code == 200
    assert client.get("/api/v1/incidents", headers={"Authorization": f"Bearer {token}x"}).status_code == 401
    assert through(app).get("/", headers=KIM | {"Authorization": "Bearer eyJhb"}).status_code == 200
    assert through(app).post("/sign-in", headers=KIM, data={"token": token}).status_code == 403


@pytest.mark.parametrize(
    ("host", "status"), [("board.example", 200), ("BOARD.example", 200), ("127.0.0.1:8090", 200), ("evil.example", 421)]
)
def test_the_board_answers_to_its_own_names(app: FastAPI, host: str, status: int) -> None:
    assert through(app).get("/", headers=KIM | {"Host": host}).status_code == status


@pytest.mark.parametrize("path", ["/live", "/ready", "/metrics"])
def test_probes_name_the_board_by_any_address(app: FastAPI, path: str) -> None:
    assert through(app).get(path, headers={"Host": "10.4.5.6:8090"}).status_code == 200


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"public_url": ""}, "SLA_BOARD_PUBLIC_URL: .*is missing; SLA_BOARD_SIGN_IN=proxy needs"),
        ({"public_url": "http://board.example"}, "SLA_BOARD_PUBLIC_URL: .*http:// for loopback hosts alone"),
        ({"public_url": "https://board.example/sla"}, "SLA_BOARD_PUBLIC_URL: .*has a path"),
        ({"public_url": "https://a@board.example"}, "SLA_BOARD_PUBLIC_URL: "),
        ({"proxy_networks": ""}, "SLA_BOARD_PROXY_NETWORKS: .*is missing"),
        ({"proxy_networks": "10.0.0.1/8"}, "SLA_BOARD_PROXY_NETWORKS: .*has host bits set"),
        ({"roles": "ops=boss"}, "SLA_BOARD_ROLES: .*allowed roles: viewer, responder, billing, admin"),
        ({"roles": "ops"}, "SLA_BOARD_ROLES: .*no pair VALUE=ROLE"),
        ({"sign_in": "ldap"}, "SLA_BOARD_SIGN_IN: .*allowed: local, proxy, oidc"),
        ({"sign_in": "local"}, "SLA_BOARD_PUBLIC_URL: .*is for SLA_BOARD_SIGN_IN=proxy or oidc"),
    ],
)
def test_settings_that_do_not_fit_are_named(given: dict[str, str], problem: str) -> None:
    fitting = {"sign_in": "proxy", "public_url": URL, "proxy_networks": "10.0.0.0/8"}
    with pytest.raises(SettingsError, match=problem):
        read_board_settings(**fitting | given)


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("192.0.2.9", "203.0.113.7", "192.0.2.9"),
        ("10.0.0.1", "203.0.113.7", "203.0.113.7"),
        ("10.0.0.1", "1.1.1.1, 203.0.113.7", "203.0.113.7"),
        ("10.0.0.1", "203.0.113.7, 10.9.9.9", "203.0.113.7"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "nonsense", "10.0.0.1"),
        ("10.0.0.1", "1.1.1.1, nonsense", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.7:4711, 10.9.9.9:80", "203.0.113.7"),
        ("10.0.0.1", "[2001:db8::7]:4711", "2001:db8::7"),
        ("10.0.0.1", "2001:db8::7", "2001:db8::7"),
        ("10.0.0.1", "::ffff:203.0.113.7", "203.0.113.7"),
        ("::ffff:10.0.0.1", "[::ffff:203.0.113.7]:80", "203.0.113.7"),
        ("::ffff:192.0.2.9", "203.0.113.7", "192.0.2.9"),
    ],
)
def test_the_clients_address_is_what_trusted_proxies_wrote(
    settings: BoardSettings, peer: str, forwarded: str, expected: str
) -> None:
    scope = {"type": "http", "client": (peer, 1), "headers": [(b"x-forwarded-for", forwarded.encode())]}
    assert client_address(scope, settings.proxy_networks) == expected
