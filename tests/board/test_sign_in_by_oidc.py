"""Signing in at an OpenID Connect provider, over HTTP, and what is not accepted from one."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from joserfc import jwt
from joserfc.jwk import KeySet, OctKey, RSAKey
from signed_in import MovingClock, access_app, board_settings, browser, csrf_of, token_of
from sqlalchemy import Engine, select
from structlog.testing import capture_logs

from board.access.oidc import CALLBACK, Oidc, OidcProblem
from board.pages.sign_in import local_address
from board.settings import BoardSettings, read_board_settings
from board.store.own_tables import audit_outbox, session
from connect.actions.person import Role
from streams.errors import SettingsError
from streams.sla.instants import SECOND
from tests.waiting import TIMEOUT_S

#: The provider's own code warns in its thread.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

URL = "http://127.0.0.1:8090"
CLAIMS = {
    "kim": {"name": "Kim", "groups": ["oncall", "staff"]},
    "pat": {"name": "Pat", "groups": ["viewer-group"], "tenants": ["acme"]},
    "lee": {"name": "Lee", "groups": ["staff"]},
}


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    """The address of a provider in a thread of this process."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from oidc_provider_mock import User, run_server_in_thread

        users = [User(sub=sub, claims=dict(claims)) for sub, claims in CLAIMS.items()]
        with run_server_in_thread(user_claims=users, require_nonce=True) as server:
            yield f"http://localhost:{server.server_port}"


@pytest.fixture
def clock() -> MovingClock:
    return MovingClock(time.time_ns() // 1000)  # noqa: TID251 -- the provider has the machine's clock


def settings_of(directory: Path, issuer: str, **given: Any) -> BoardSettings:
    mine = {
        "sign_in": "oidc",
        "public_url": URL,
        "oidc_issuer": issuer,
        "oidc_client_id": "board",
        "oidc_client_secret": "s3cret",
        "roles": "oncall=responder,viewer-group=viewer",
        "oidc_tenants_claim": "",
    }
    return board_settings(directory, **mine | given)


@pytest.fixture
def settings(tmp_path: Path, issuer: str) -> BoardSettings:
    return settings_of(tmp_path, issuer)


@pytest.fixture
def app(empty_read_model: Engine, settings: BoardSettings, clock: MovingClock) -> FastAPI:
    return access_app(empty_read_model, settings, clock)


def at_provider(address: str, sub: str) -> str:
    """Somebody signs in at the provider; the address that the browser is sent back to."""
    answer = httpx.post(address, data={"sub": sub}, timeout=TIMEOUT_S)
    assert answer.status_code == 302, answer.text
    return answer.headers["location"]


def enter(client: TestClient, sub: str, next_page: str = "/") -> httpx.Response:
    started = client.get("/sign-in/start", params={"next": next_page})
    assert started.status_code == 303
    back = at_provider(started.headers["location"], sub)
    assert back.startswith(f"{URL}{CALLBACK}?")
    return client.get(back)


def test_a_page_leads_to_the_sign_in_and_from_there_back(app: FastAPI, issuer: str) -> None:
    client = browser(app, URL)
    first = client.get("/tenants?q=a")
    assert first.status_code == 303
    assert first.headers["location"] == "/sign-in?next=%2Ftenants%3Fq%3Da"
    html = client.get(first.headers["location"]).text
    assert "/sign-in/start?next=%2Ftenants%3Fq%3Da" in html
    assert urlsplit(issuer).netloc in html
    back = enter(client, "kim", "/tenants?q=a")
    assert back.status_code == 303
    assert back.headers["location"] == "/tenants?q=a"
    assert "Signed in as Kim: responder" in client.get("/").text
    assert "board_attempt" not in client.cookies
    assert client.get("/api/v1/incidents").status_code == 200


@pytest.mark.parametrize("page", ["/incidents/a%2Fb%3Fc", "/incidents/%E9%9A%9C%E5%AE%B3?after=1"])
def test_the_way_back_keeps_what_is_escaped_in_an_address(app: FastAPI, page: str) -> None:
    first = browser(app, URL).get(page)
    assert parse_qs(urlsplit(first.headers["location"]).query) == {"next": [page]}
    assert local_address(page) == page


def test_nobody_else_reads(app: FastAPI) -> None:
    client = browser(app, URL)
    for path in ("/api/v1/incidents", "/api/v1/changes", "/live/changes"):
        answer = client.get(path, headers={"Accept": "*/*"})
        assert answer.status_code == 401
        assert "sign in at /sign-in" in answer.text
    part = client.get("/", headers={"HX-Request": "true"})
    assert part.status_code == 401
    token = token_of(sign_in_settings(app), "robot", Role.VIEWER)
    assert client.get("/api/v1/incidents", headers={"Authorization": f"Bearer {token}"}).status_code == 200


def sign_in_settings(app: FastAPI) -> BoardSettings:
    settings: BoardSettings = app.state.sign_in.settings
    return settings


def test_the_request_has_state_nonce_and_pkce(app: FastAPI) -> None:
    first, second = (browser(app, URL).get("/sign-in/start").headers["location"] for _ in range(2))
    query, other = ({name: each[0] for name, each in parse_qs(urlsplit(one).query).items()} for one in (first, second))
    assert query["response_type"] == "code"
    assert query["code_challenge_method"] == "S256"
    assert query["redirect_uri"] == f"{URL}{CALLBACK}"
    for name in ("state", "nonce", "code_challenge"):
        assert len(query[name]) >= 43
        assert query[name] != other[name]


def test_without_a_role_everything_is_refused_with_the_reason(app: FastAPI) -> None:
    client = browser(app, URL)
    enter(client, "lee")
    answer = client.get("/")
    assert answer.status_code == 403
    assert "You have: no role." in answer.text
    assert "Signed in as Lee: no role" in answer.text


def test_the_log_says_that_the_claim_of_roles_is_missing(
    empty_read_model: Engine, tmp_path: Path, issuer: str, clock: MovingClock
) -> None:
    """Keycloak puts its realm roles into access tokens alone unless it is told otherwise."""
    app = access_app(empty_read_model, settings_of(tmp_path, issuer, oidc_roles_claim="realm_access.roles"), clock)
    with capture_logs() as logs:
        enter(browser(app, URL), "kim")
    (found,) = [each for each in logs if each["event"] == "roles_claim_missing"]
    assert (found["person"], found["claim"], "groups" in found["claims"]) == ("kim", "realm_access.roles", True)


def test_tenants_are_those_of_the_claim(
    empty_read_model: Engine, tmp_path: Path, issuer: str, clock: MovingClock
) -> None:
    app = access_app(empty_read_model, settings_of(tmp_path, issuer, oidc_tenants_claim="tenants"), clock)
    pat, kim = browser(app, URL), browser(app, URL)
    enter(pat, "pat")
    assert "Tenants: acme" in pat.get("/").text
    enter(kim, "kim")  # no claim: no tenant
    assert "Tenants: –" in kim.get("/sign-in").text


def test_sign_out_leads_to_the_providers(app: FastAPI, issuer: str, empty_read_model: Engine) -> None:
    client = browser(app, URL)
    enter(client, "kim")
    page = client.get("/")
    assert f"form-action 'self' {issuer};" in page.headers["content-security-policy"]
    answer = client.post("/sign-out", data={"csrf_token": csrf_of(page.text)})
    target = urlsplit(answer.headers["location"])
    query = {name: each[0] for name, each in parse_qs(target.query).items()}
    assert f"{target.scheme}://{target.netloc}" == issuer
    assert query["post_logout_redirect_uri"] == f"{URL}/sign-in"
    assert query["id_token_hint"].count(".") == 2
    assert client.get("/").status_code == 303
    with empty_read_model.connect() as connection:
        assert connection.execute(select(session)).all() == []
        rows = connection.execute(select(audit_outbox).order_by(audit_outbox.c.id)).all()
    assert [(row.type, json.loads(row.data)["person_id"]) for row in rows] == [
        ("audit.signed_in", "kim"),
        ("audit.signed_out", "kim"),
    ]


def test_a_code_of_another_browser_begins_no_session(app: FastAPI) -> None:
    """Somebody has a victim follow a link with the code of the own sign-in."""
    attacker, victim = browser(app, URL), browser(app, URL)
    back = at_provider(attacker.get("/sign-in/start").headers["location"], "kim")
    assert victim.get(back).status_code == 502  # no attempt in this browser
    victim.get("/sign-in/start")
    assert victim.get(back).status_code == 502  # the state is another one
    assert victim.get("/").status_code == 303
    assert "board_session" not in victim.cookies
    assert attacker.get(back).status_code == 303


def test_an_answer_can_be_used_once(app: FastAPI) -> None:
    client = browser(app, URL)
    started = client.get("/sign-in/start")
    attempt = client.cookies["board_attempt"]
    back = at_provider(started.headers["location"], "kim")
    assert client.get(back).status_code == 303
    again = browser(app, URL)
    again.cookies.set("board_attempt", attempt)
    assert again.get(back).status_code == 502
    assert "board_session" not in again.cookies


@pytest.mark.parametrize("query", ["", "state=x", "state=x&code=y", "error=access_denied", "state=x&code=y&iss=z"])
def test_answers_that_do_not_belong_here_are_limited_and_audited(
    app: FastAPI, empty_read_model: Engine, query: str
) -> None:
    client = browser(app, URL)
    for _ in range(10):
        client.get("/sign-in/start")
        answer = client.get(f"{CALLBACK}?{query}")
        assert answer.status_code == 502
        assert "The sign-in failed" in answer.text
    client.get("/sign-in/start")
    limited = client.get(f"{CALLBACK}?{query}")
    assert limited.status_code == 429
    assert int(limited.headers["retry-after"]) > 0
    with empty_read_model.connect() as connection:
        rows = connection.execute(select(audit_outbox)).all()
    assert [row.type for row in rows] == ["audit.sign_in_failed"] * 10


def test_a_page_elsewhere_cannot_lock_its_visitors_out(app: FastAPI, empty_read_model: Engine) -> None:
    """Images of it may ask for the address of the way back; a browser sends no cookie with them."""
    visitor = browser(app, URL)
    with capture_logs() as logs:
        for _ in range(30):
            assert visitor.get(f"{CALLBACK}?state=x&code=y").status_code == 502
    assert [each["event"] for each in logs].count("sign_in_failed") == 1
    with empty_read_model.connect() as connection:
        assert connection.execute(select(audit_outbox)).all() == []
    assert enter(visitor, "kim").status_code == 303


def test_a_board_behind_an_unknown_tls_proxy_warns(
    empty_read_model: Engine, tmp_path: Path, issuer: str, clock: MovingClock
) -> None:
    def events(**given: Any) -> list[str]:
        with capture_logs() as logs:
            access_app(empty_read_model, settings_of(tmp_path, issuer, **given), clock)
        return [each["event"] for each in logs]

    assert "proxy_networks_missing" in events(public_url="https://board.example")
    assert "proxy_networks_missing" not in events(public_url="https://board.example", proxy_networks="10.0.0.0/8")
    assert "proxy_networks_missing" not in events()


def test_who_has_a_token_and_an_account_is_not_two_people(
    app: FastAPI, empty_read_model: Engine, tmp_path: Path, issuer: str, clock: MovingClock
) -> None:
    """The token has a name of its own, the account the provider's `sub`."""
    body = {"action": "annul", "form": {"reason": "x"}, "revision": 1, "action_id": "a"}
    bearer = {"Authorization": f"Bearer {token_of(sign_in_settings(app), 'kim-laptop', Role.ADMIN)}"}
    asked = ("/api/v1/incidents/inc-1/proposals", body), ("/api/v1/proposals/p/approve", {})
    for path, given in asked:
        answer = browser(app, URL).post(path, json=given, headers=bearer)
        assert answer.status_code == 403
        assert "kim-laptop to sign in at the provider" in answer.json()["detail"]
    assert browser(app, URL).get("/api/v1/proposals", headers=bearer).status_code == 200
    person = browser(app, URL)
    enter(person, "kim")
    token = {"X-CSRF-Token": csrf_of(person.get("/").text)}
    assert person.post(asked[1][0], json={}, headers=token).status_code == 404
    trusting = access_app(empty_read_model, settings_of(tmp_path, issuer, tokens_in_proposals=True), clock)
    assert browser(trusting, URL).post(asked[1][0], json={}, headers=bearer).status_code == 404


def test_a_provider_that_is_away_is_a_page_that_says_so(
    empty_read_model: Engine, tmp_path: Path, clock: MovingClock
) -> None:
    app = access_app(empty_read_model, settings_of(tmp_path, "http://127.0.0.1:1"), clock)
    answer = browser(app, URL).get("/sign-in/start")
    assert answer.status_code == 502
    assert "The sign-in failed" in answer.text


def test_a_provider_that_fails_is_left_alone_for_a_while(
    tmp_path: Path, clock: MovingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def away(address: str) -> dict[str, Any]:
        asked.append(address)
        raise httpx.ConnectTimeout("no answer")

    monkeypatch.setattr("board.access.oidc._json", away)
    provider = Oidc(settings_of(tmp_path, "https://id.example"), clock)
    with pytest.raises(OidcProblem, match="no answer"):
        provider.start("x")
    with pytest.raises(OidcProblem, match="failed less than 5 s ago"):
        provider.start("x")
    assert len(asked) == 1
    clock.move(5 * SECOND)
    with pytest.raises(OidcProblem, match="no answer"):
        provider.start("x")
    assert len(asked) == 2


def test_nobody_waits_long_behind_somebody_who_waits_for_the_provider(
    tmp_path: Path, clock: MovingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("board.access.oidc._LOCK_TIMEOUT_S", 0.01)
    provider = Oidc(settings_of(tmp_path, "https://id.example"), clock)
    with provider._reading(), pytest.raises(OidcProblem, match="slow to answer"):
        provider.start("x")


def test_the_board_compares_the_issuer(tmp_path: Path, issuer: str, clock: MovingClock) -> None:
    other = Oidc(settings_of(tmp_path, issuer.replace("localhost", "127.0.0.1") + "/"), clock)
    with pytest.raises(OidcProblem, match=r"the provider calls itself .*SLA_BOARD_OIDC_ISSUER"):
        other.start("x")


# -- id tokens: made here, with keys that the provider would have published -------------------------------------------

KEY, STRANGER = RSAKey.generate_key(2048, {"kid": "1"}), RSAKey.generate_key(2048, {"kid": "1"})
NOW_S = 1_790_000_000
GOOD = {"iss": "https://id.example", "aud": "board", "sub": "kim", "exp": NOW_S + 60, "iat": NOW_S, "nonce": "n"}


@pytest.fixture
def provider(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Oidc:
    keys = KeySet([KEY]).as_dict(private=False)
    answers = {
        "https://id.example/.well-known/openid-configuration": {"issuer": "https://id.example", "jwks_uri": "keys"},
        "keys": keys,
    }
    monkeypatch.setattr("board.access.oidc._json", answers.__getitem__)
    return Oidc(settings_of(tmp_path, "https://id.example"), MovingClock(NOW_S * 1_000_000))


def signed(claims: dict[str, Any], key: Any = KEY, algorithm: str = "RS256") -> str:
    return jwt.encode({"alg": algorithm, "kid": "1"}, claims, key, algorithms=[algorithm])


def test_a_valid_id_token_is_accepted(provider: Oidc) -> None:
    assert provider._validated(signed(GOOD), "n")["sub"] == "kim"
    assert provider._validated(signed(GOOD | {"aud": ["board", "x"], "azp": "board"}), "n")["sub"] == "kim"


@pytest.mark.parametrize(
    "change",
    [
        {"iss": "https://evil.example"},
        {"aud": "another"},
        {"aud": ["another"]},
        {"aud": ["board", "another"], "azp": "another"},
        {"exp": NOW_S - 61},
        {"iat": NOW_S + 3600},
        {"nonce": "m"},
        {"nonce": None},
        {"sub": None},
        {"exp": None},
        {"nbf": NOW_S + 3600},
    ],
)
def test_an_id_token_with_wrong_claims_is_refused(provider: Oidc, change: dict[str, Any]) -> None:
    claims = {name: value for name, value in (GOOD | change).items() if value is not None}
    with pytest.raises(Exception, match=r"claim|expired|invalid|future|missing"):
        provider._validated(signed(claims), "n")


def test_an_id_token_with_another_signature_is_refused(provider: Oidc) -> None:
    with pytest.raises(Exception, match="signature"):
        provider._validated(signed(GOOD, STRANGER), "n")
    secret = OctKey.import_key("a secret of more than enough bytes")
    with pytest.raises(Exception, match="HS256"):
        provider._validated(signed(GOOD, secret, "HS256"), "n")
    with pytest.raises(Exception, match="none"):
        provider._validated("eyJhbGciOiJub25lIiwia2lkIjoiMSJ9." + signed(GOOD).split(".")[1] + ".", "n")


def test_claims_may_be_in_an_object_and_a_name_with_dots_comes_first(provider: Oidc) -> None:
    from board.access.oidc import _texts

    claims = {"realm": {"roles": ["a", 1]}, "https://x.example/roles": "b", "n": 5}
    assert _texts(claims, "realm.roles") == ["a"]
    assert _texts(claims, "https://x.example/roles") == ["b"]
    assert _texts(claims, "n") == _texts(claims, "realm.none.deeper") == []


@pytest.mark.parametrize("issuer", ["http://id.example", "id.example", "https://", "https://id.example; script-src *"])
def test_an_issuer_without_https_is_refused(issuer: str) -> None:
    with pytest.raises(SettingsError, match=r"SLA_BOARD_OIDC_ISSUER: .*allowed: https"):
        read_board_settings(sign_in="oidc", public_url=URL, oidc_client_id="b", oidc_issuer=issuer)


def test_the_secret_of_the_client_is_not_shown(settings: BoardSettings) -> None:
    assert "s3cret" not in repr(settings)
