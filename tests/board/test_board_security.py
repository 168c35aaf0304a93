"""Nobody else's page or machine gets at the board: address, Host and Origin headers, headers of answers."""

from __future__ import annotations

import pytest
from board_rows import app_of
from fastapi.testclient import TestClient
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from board.settings import read_board_settings
from streams.errors import SettingsError


@pytest.fixture
def client(empty_read_model: Engine) -> TestClient:
    return TestClient(app_of(empty_read_model), base_url="http://127.0.0.1")


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "192.168.1.4", "board.example", "", "127.0.0.1.nip.io", "localhost."]
)
def test_another_address_than_loopback_is_refused_with_the_reason(host: str) -> None:
    with pytest.raises(
        SettingsError, match=r"^SLA_BOARD_HOST: .*no sign-in for reading.*allowed: 127\.0\.0\.1, ::1 or localhost"
    ):
        read_board_settings(host=host)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_loopback_addresses_are_accepted(host: str) -> None:
    assert read_board_settings(host=host).host == host


def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLA_BOARD_PORT", "99999")
    monkeypatch.setenv("SLA_BOARD_RETENTION", "a year")
    with pytest.raises(SettingsError, match=r"SLA_BOARD_PORT: .*SLA_BOARD_RETENTION: "):
        read_board_settings()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8090", "localhost:9", "[::1]:8090", "LOCALHOST"])
def test_names_of_this_machine_are_answered(client: TestClient, host: str) -> None:
    assert client.get("/api/v1/incidents", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "evil.example:8090", "", "127.0.0.1@evil", "x@127.0.0.1", "[::1", "a b"],
)
@pytest.mark.parametrize("path", ["/api/v1/incidents", "/api/openapi.json", "/static/x.js", "/"])
def test_a_foreign_name_is_refused(client: TestClient, host: str, path: str) -> None:
    """A page of evil.example whose name points at 127.0.0.1 by now."""
    answer = client.get(path, headers={"Host": host})
    assert answer.status_code == 421
    assert "allowed in the Host header" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "https://127.0.0.1"}, 403),
        ({"Origin": "http://127.0.0.1:8089"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "http://127.0.0.1", "Sec-Fetch-Site": "same-origin"}, 405),
        ({}, 405),
    ],
)
def test_a_form_of_a_foreign_page_is_refused(client: TestClient, headers: dict[str, str], status: int) -> None:
    """405: it got through to the address, which takes no POST."""
    assert client.post("/api/v1/incidents", headers=headers).status_code == status


@pytest.mark.parametrize("path", ["/api/v1/incidents", "/api/v1/incidents/none", "/nowhere", "/api/openapi.json"])
def test_every_answer_has_the_headers(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cache-control"] == "no-store"
    assert not [name for name in headers if name.startswith("access-control-")]


@pytest.mark.parametrize("error", [RuntimeError("secret of a tenant"), OperationalError("SELECT", {}, OSError("disk"))])
def test_an_error_of_the_board_shows_nothing_and_has_the_headers(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("board.api.incidents.list_incidents", fail)
    answer = client.get("/api/v1/incidents")
    assert answer.status_code == (500 if isinstance(error, RuntimeError) else 503)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    assert "secret" not in answer.text
    assert "SELECT" not in answer.text
