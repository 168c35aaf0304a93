"""Every address of the board says who may use it, and is closed to everybody else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from board_rows import NOW
from fastapi import APIRouter, FastAPI
from fastapi.testclient import TestClient
from signed_in import MovingClock, access_app, board_settings, browser, token_of
from sqlalchemy import Engine

from board.access.requirement import Addresses, Requirement, open_to_all, requires
from connect.actions.permissions import Permission, may_read
from connect.actions.person import Person, Role

#: Addresses that whoever reaches the board may use: they show nothing of what the board keeps.
OPEN = {
    "/static/{digest}/{path:path}",
    "/sign-in",
    "/sign-in/start",
    "/sign-in/callback",
    "/sign-out",
    "/live",
    "/healthz",
    "/ready",
    "/metrics",
    "/api/openapi.json",
}
#: A tenant that the empty read model does not have.
LIMITED = {"acme"}


@pytest.fixture
def app(empty_read_model: Engine, tmp_path: Path) -> FastAPI:
    return access_app(empty_read_model, board_settings(tmp_path), MovingClock(NOW))


def test_addresses_without_a_permission_are_few_and_known(app: FastAPI) -> None:
    addresses = Addresses(app).all
    assert len(addresses) > 40
    assert {each.path for each in addresses if each.requirement.permission is None} == OPEN


def test_a_route_that_does_not_say_who_may_use_it_stops_the_start() -> None:
    app = FastAPI(openapi_url=None)
    app.add_api_route("/new", lambda: None)
    with pytest.raises(ValueError, match=r"^/new: a route declares what it requires exactly once; this one 0 times"):
        Addresses(app)
    router = APIRouter(dependencies=[requires(Permission.READ_SYSTEM)])
    router.add_api_route("/twice", lambda: None, dependencies=[open_to_all()])
    app = FastAPI(openapi_url=None)
    app.include_router(router)
    with pytest.raises(ValueError, match="this one 2 times"):
        Addresses(app)


def test_a_route_that_nobody_checked_does_not_answer() -> None:
    """It is closed wherever it is mounted, also without the middleware."""
    app = FastAPI(openapi_url=None)
    app.add_api_route("/new", lambda: "secret", dependencies=[requires(Permission.READ_SYSTEM)])
    with pytest.raises(RuntimeError, match="nobody checked read-system for /new"):
        TestClient(app).get("/new")


def test_a_request_finds_the_address_that_answers_it(app: FastAPI) -> None:
    addresses = Addresses(app)
    for method, path, expected in (
        ("GET", "/", "/"),
        ("HEAD", "/", "/"),
        ("GET", "/api/v1/incidents/a/b", "/api/v1/incidents/{incident_id:path}"),
        ("GET", "/live", "/live"),
        ("GET", "/live/changes", "/live/changes"),
        ("POST", "/live/changed", "/live/changed"),
    ):
        found = addresses.find(method, path)
        assert found is not None
        assert found.path == expected
    assert addresses.find("DELETE", "/") is None
    assert addresses.find("GET", "/nowhere") is None


@pytest.mark.parametrize("role", [None, *Role])
@pytest.mark.parametrize("tenants", [None, LIMITED])
def test_every_address_is_open_to_those_alone_who_may(
    app: FastAPI, role: Role | None, tenants: set[str] | None
) -> None:
    """Each address once: 401 or 403 for those who may not, something else for the others."""
    settings = app.state.context.settings
    roles = frozenset() if role is None else frozenset({role})
    person = Person("kim", "Kim", roles, None if tenants is None else frozenset(tenants))
    client = browser(app)
    client.headers["Authorization"] = f"Bearer {token_of(settings, 'kim', *roles, tenants=tenants)}"
    app.state.context.changes.close()  # event streams end at once
    for address in Addresses(app).all:
        for method in address.methods:
            answer = client.request(method, _sample(address.path), headers={"Accept": "*/*"})
            expected = may_use(person, address.requirement)
            assert (answer.status_code not in {401, 403}) == expected, (method, address.path, answer.status_code)


def may_use(person: Person, requirement: Requirement) -> bool:
    if requirement.permission is None:
        return True
    decision = may_read(person, requirement.permission, scoped=requirement.scoped)
    return type(decision).__name__ == "Allowed"


def _sample(path: str) -> str:
    """An address with some values for its parameters."""
    values = {"rest": "acme/2026-06", "path": "x.js", "month": "2026-06", "partition": "0", "offset": "0"}
    return re.sub(r"\{(\w+)(:path)?\}", lambda each: values.get(each[1], "x"), path)


def test_a_refusal_names_the_role_in_both_languages_and_is_audited(app: FastAPI, empty_read_model: Engine) -> None:
    settings = app.state.context.settings
    client = browser(app)
    client.post("/sign-in", data={"token": token_of(settings, "kim", Role.VIEWER, tenants={"acme"})})
    answer = client.get("/system")
    assert answer.status_code == 403
    assert "It concerns all tenants. You have access to: acme." in answer.text
    assert "アクセスできるテナント: acme。" in client.get("/system?lang=ja").text
    problem = client.get("/api/v1/system")
    assert problem.headers["content-type"] == "application/problem+json"
    assert problem.json()["detail"].startswith("read-system shows data of all tenants; kim is limited to some.")
    nobody = browser(app)
    nobody.post("/sign-in", data={"token": token_of(settings, "lee")})
    assert "It needs the role viewer or responder or billing or admin. You have: no role." in nobody.get("/").text
    with empty_read_model.connect() as connection:
        rows = connection.exec_driver_sql("SELECT type, data FROM audit_outbox WHERE type = 'audit.denied'").all()
    assert len(rows) == 4
    assert '"what": "read-system", "subject": "GET /system"' in rows[0].data
