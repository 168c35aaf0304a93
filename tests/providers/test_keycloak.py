"""Signing in with a real Keycloak: the whole code flow over HTTP, roles from its claims, and what the board refuses."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import requests
from fastapi import FastAPI
from fastapi.testclient import TestClient
from signed_in import MovingClock, access_app, board_settings, browser, csrf_of
from sqlalchemy import Engine, select

from board.access.oidc import CALLBACK, Oidc, OidcProblem
from board.settings import BoardSettings
from board.store.engine import open_engine
from board.store.own_tables import audit_outbox
from board.store.schema import upgrade
from streams.sla.instants import HOUR
from tests.providers.keycloak import Keycloak, User, form_of

URL = "http://127.0.0.1:8090"
SECRET = "a secret of the client"
#: With the role `oncall`; with `finance`, in the group `acme`; without a role.
KIM, PAT, LEE = "kim", "pat", "lee"


@pytest.fixture(scope="module")
def keycloak(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keycloak]:
    try:
        started = Keycloak(tmp_path_factory.mktemp("keycloak") / "keycloak.log")
    except (requests.ConnectionError, requests.Timeout) as error:
        reason = type(error).__name__
        pytest.skip(f"Keycloak is downloaded at its first use, and Maven Central does not answer ({reason})")
    with started as running:
        running.admin("POST", "", realm())
        _roles_in_id_tokens(running)
        yield running


def realm() -> dict[str, Any]:
    """What docs/sign-in.md says about Keycloak, with three people."""

    def person(name: str, **more: Any) -> dict[str, Any]:
        names = {"firstName": name.title(), "lastName": "Example", "email": f"{name}@example.com"}
        password = {"type": "password", "value": name, "temporary": False}
        return {"username": name, "enabled": True, "emailVerified": True, "credentials": [password], **names, **more}

    def client(name: str, **more: Any) -> dict[str, Any]:
        attributes = {"pkce.code.challenge.method": "S256", "post.logout.redirect.uris": f"{URL}/sign-in"}
        flows = {"standardFlowEnabled": True, "directAccessGrantsEnabled": True, "redirectUris": [f"{URL}{CALLBACK}"]}
        return {"clientId": name, "secret": SECRET, "attributes": attributes, **flows, **more}

    tenants = {
        "name": "tenants",
        "protocol": "openid-connect",
        "protocolMapper": "oidc-group-membership-mapper",
        "config": {"claim.name": "tenants", "full.path": "false", "id.token.claim": "true"},
    }
    return {
        "realm": "ops",
        "enabled": True,
        "sslRequired": "none",
        "roles": {"realm": [{"name": "oncall"}, {"name": "finance"}]},
        "groups": [{"name": "acme"}],
        "users": [
            person(KIM, realmRoles=["oncall"]),
            person(PAT, realmRoles=["finance"], groups=["/acme"]),
            person(LEE),
        ],
        "clients": [
            client("sla-board", protocolMappers=[tenants]),
            client("another"),
            client("public", publicClient=True, secret=None),
        ],
    }


def _roles_in_id_tokens(keycloak: Keycloak) -> None:
    """Switch on "Add to ID token" of the mapper "realm roles" in the client scope "roles"."""
    scope = next(each for each in keycloak.admin("GET", "/ops/client-scopes") if each["name"] == "roles")
    mapper = next(each for each in scope["protocolMappers"] if each["name"] == "realm roles")
    mapper["config"]["id.token.claim"] = "true"
    keycloak.admin("PUT", f"/ops/client-scopes/{scope['id']}/protocol-mappers/models/{mapper['id']}", mapper)


@pytest.fixture
def clock() -> MovingClock:
    return MovingClock(time.time_ns() // 1000)  # noqa: TID251 -- the provider has the machine's clock


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    made = open_engine(f"sqlite:///{tmp_path}/board.db")
    upgrade(made)
    yield made
    made.dispose()


def settings_of(directory: Path, keycloak: Keycloak, **given: Any) -> BoardSettings:
    mine = {
        "sign_in": "oidc",
        "public_url": URL,
        "oidc_issuer": keycloak.issuer,
        "oidc_client_id": "sla-board",
        "oidc_client_secret": SECRET,
        "oidc_roles_claim": "realm_access.roles",
        "roles": "oncall=responder,finance=billing",
    }
    return board_settings(directory, **mine | given)


@pytest.fixture
def settings(tmp_path: Path, keycloak: Keycloak) -> BoardSettings:
    return settings_of(tmp_path, keycloak)


@pytest.fixture
def app(engine: Engine, settings: BoardSettings, clock: MovingClock) -> FastAPI:
    return access_app(engine, settings, clock)


def enter(app: FastAPI, name: str) -> tuple[TestClient, User]:
    """The browser of somebody who has signed in, at the board and at the provider."""
    client, user = browser(app, URL), User(name)
    back = user.sign_in(start(client))
    assert back.startswith(f"{URL}{CALLBACK}?")
    answer = client.get(back)
    assert (answer.status_code, answer.headers.get("location")) == (303, "/"), answer.text
    return client, user


def start(client: TestClient) -> str:
    answer = client.get("/sign-in/start")
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


def id_token(keycloak: Keycloak, client: str, name: str) -> str:
    """An id token of another flow, which has no nonce."""
    form = {"grant_type": "password", "client_id": client, "username": name, "password": name, "scope": "openid"}
    token: str = keycloak.token(form, secret=SECRET).json()["id_token"]
    return token


def test_people_sign_in_with_the_roles_of_their_claims(app: FastAPI, engine: Engine, keycloak: Keycloak) -> None:
    kim, _ = enter(app, KIM)
    assert "Signed in as Kim Example: responder" in kim.get("/").text
    assert kim.get("/api/v1/proposals").status_code == 200
    lee, _ = enter(app, LEE)
    refused = lee.get("/api/v1/incidents")
    assert (refused.status_code, "no role" in lee.get("/").text) == (403, True)
    with engine.connect() as connection:
        rows = connection.execute(select(audit_outbox).where(audit_outbox.c.type == "audit.signed_in")).all()
    users = {each["username"]: each["id"] for each in keycloak.admin("GET", "/ops/users")}
    assert [json.loads(row.data)["person_id"] for row in rows] == [users[KIM], users[LEE]]


def test_a_person_is_limited_to_the_tenants_of_its_groups(
    engine: Engine, tmp_path: Path, keycloak: Keycloak, clock: MovingClock
) -> None:
    app = access_app(engine, settings_of(tmp_path, keycloak, oidc_tenants_claim="tenants"), clock)
    pat, _ = enter(app, PAT)
    page = pat.get("/").text
    assert "Tenants: acme" in page
    assert "billing" in page
    assert pat.get("/overview").status_code == 403
    kim, _ = enter(app, KIM)
    assert "Tenants: –" in kim.get("/sign-in").text


def test_a_public_client_signs_in_by_pkce_alone(
    engine: Engine, tmp_path: Path, keycloak: Keycloak, clock: MovingClock
) -> None:
    settings = settings_of(tmp_path, keycloak, oidc_client_id="public", oidc_client_secret="")
    kim, _ = enter(access_app(engine, settings, clock), KIM)
    assert "Signed in as Kim Example: responder" in kim.get("/").text


def test_a_stolen_code_is_worth_nothing(app: FastAPI, keycloak: Keycloak) -> None:
    """Not without the verifier of PKCE, not in another browser, and not a second time."""
    victim, thief = browser(app, URL), browser(app, URL)
    back = User(KIM).sign_in(start(victim))
    code = parse_qs(urlsplit(back).query)["code"][0]
    form = {"grant_type": "authorization_code", "client_id": "sla-board", "code": code}
    answer = keycloak.token({**form, "redirect_uri": f"{URL}{CALLBACK}"}, secret=SECRET)
    assert (answer.status_code, "PKCE" in answer.json()["error_description"]) == (400, True), answer.text
    start(thief)
    assert thief.get(back).status_code == 502
    back = User(KIM).sign_in(start(victim))
    attempt = victim.cookies["board_attempt"]
    assert victim.get(back).status_code == 303
    thief.cookies.set("board_attempt", attempt)
    assert thief.get(back).status_code == 502
    assert "board_session" not in thief.cookies


def test_a_request_without_pkce_is_refused_by_the_provider(app: FastAPI) -> None:
    address, _, query = start(browser(app, URL)).partition("?")
    parameters = {name: each[0] for name, each in parse_qs(query).items() if not name.startswith("code_challenge")}
    answer = httpx.get(address, params=parameters, timeout=60)
    assert "error=invalid_request" in answer.headers["location"]


def test_a_token_for_another_client_is_refused(settings: BoardSettings, keycloak: Keycloak, clock: MovingClock) -> None:
    board = Oidc(settings, clock)
    with pytest.raises(Exception, match=r"'aud'|audience"):
        board._validated(id_token(keycloak, "another", KIM), "n")
    with pytest.raises(Exception, match="nonce"):  # it is the board's otherwise
        board._validated(id_token(keycloak, "sla-board", KIM), "n")


def test_a_token_that_is_over_is_refused(app: FastAPI, clock: MovingClock) -> None:
    client = browser(app, URL)
    back = User(KIM).sign_in(start(client))
    clock.move(HOUR)
    assert client.get(back).status_code == 502
    assert "board_session" not in client.cookies


def test_another_name_of_the_issuer_is_refused(tmp_path: Path, keycloak: Keycloak, clock: MovingClock) -> None:
    with pytest.raises(OidcProblem, match="set SLA_BOARD_OIDC_ISSUER to exactly that"):
        Oidc(settings_of(tmp_path, keycloak, oidc_issuer=f"{keycloak.issuer}/"), clock).start("x")


def test_sign_out_ends_the_session_at_the_provider_too(app: FastAPI) -> None:
    client, user = enter(app, KIM)
    again = user.get(start(browser(app, URL)))
    assert again.status_code == httpx.codes.FOUND  # the provider still knows this browser
    answer = client.post("/sign-out", data={"csrf_token": csrf_of(client.get("/").text)})
    assert client.get("/").status_code == 303
    out = user.get(answer.headers["location"])
    assert (out.status_code, out.headers.get("location")) == (httpx.codes.FOUND, f"{URL}/sign-in"), out.text
    asked = user.get(start(browser(app, URL)))
    assert (asked.status_code, bool(form_of(asked))) == (200, True)


def test_new_keys_of_the_provider_are_read_and_old_ones_forgotten(
    app: FastAPI, settings: BoardSettings, keycloak: Keycloak, clock: MovingClock
) -> None:
    enter(app, KIM)  # the board has read the keys
    old = id_token(keycloak, "sla-board", KIM)
    keys = "org.keycloak.keys.KeyProvider"
    before = keycloak.admin("GET", f"/ops/components?type={keys}")
    new = {"name": "next", "providerId": "rsa-generated", "providerType": keys, "config": {"priority": ["200"]}}
    keycloak.admin("POST", "/ops/components", new)
    client, _ = enter(app, KIM)
    assert "Signed in as Kim Example: responder" in client.get("/").text
    for each in before:
        if each["providerId"] == "rsa-generated":
            keycloak.admin("DELETE", f"/ops/components/{each['id']}")
    enter(app, KIM)
    with pytest.raises(Exception, match=r"[Kk]ey"):
        Oidc(settings, clock)._validated(old, "n")


def test_what_changes_at_the_provider_counts_from_the_next_sign_in(app: FastAPI, keycloak: Keycloak) -> None:
    pat, _ = enter(app, PAT)
    (user,) = keycloak.admin("GET", f"/ops/users?username={PAT}")
    roles = [each for each in keycloak.admin("GET", "/ops/roles") if each["name"] in {"oncall", "finance"}]
    path = f"/ops/users/{user['id']}/role-mappings/realm"
    keycloak.admin("DELETE", path, [each for each in roles if each["name"] == "finance"])
    keycloak.admin("POST", path, [each for each in roles if each["name"] == "oncall"])
    assert ": billing" in pat.get("/").text
    later, _ = enter(app, PAT)
    assert ": responder" in later.get("/").text
    keycloak.admin("PUT", f"/ops/users/{user['id']}", {**user, "enabled": False})
    former = User(PAT)
    asked = former.get(start(browser(app, URL)))
    answer = former.post(form_of(asked), data={"username": PAT, "password": PAT})
    assert (answer.status_code, "disabled" in answer.text) == (200, True)
