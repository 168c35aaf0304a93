"""People who are limited to tenants: nothing of other tenants in any page, answer, export or event stream."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from board_history import NOW, TENANTS
from board_server import served
from fastapi import FastAPI
from fastapi.testclient import TestClient
from signed_in import MovingClock, access_app, board_settings, browser, token_of
from sqlalchemy import Engine, select, update

from board.access.requirement import Addresses
from board.access.tokens import remove_token
from board.changes import Change
from board.proposals.proposal import Proposed
from board.proposals.stored import apply_proposals
from board.queries.statements import NamedIncident, incident_links, revisions
from board.queries.tenant_scope import TenantScope
from board.store.engine import open_engine, writing
from board.store.tables import entry, incident, incident_tenant, named_tenant
from connect.actions.permissions import Permission
from connect.actions.person import Role
from streams.sla.events import Who
from streams.sla.instants import DAY
from tests.waiting import TIMEOUT_S, wait

OWN, FOREIGN = "globex", "acme"
OTHERS = sorted(set(TENANTS) - {OWN})
MONTH = "2026-06"

#: For every scoped address: some about the own tenant, and some about a foreign one (404), where there are any.
#: `{mine}`, `{shared}` and `{theirs}` are incidents of the own tenant, of several, and of others alone.
SAMPLES: dict[str, tuple[list[str], list[str]]] = {
    "/": (["/", "/?status=any", "/?status=any&q=inc", f"/?tenant={OWN}&status=any"], []),
    "/live/changed": ([], []),
    "/live/changes": ([], []),
    "/incidents/{incident_id:path}": (["/incidents/{mine}", "/incidents/{shared}"], ["/incidents/{theirs}"]),
    "/tenants": (["/tenants", "/tenants?q=a"], []),
    "/maintenance": (["/maintenance"], []),
    "/maintenance/{maintenance_id:path}": (["/maintenance/m-1"], ["/maintenance/m-2"]),
    "/tenants/{rest:path}": (
        [f"/tenants/{OWN}{rest}" for rest in ("", f"/{MONTH}", f"/{MONTH}/statement", f"/{MONTH}/statement.csv")],
        [
            f"/tenants/{FOREIGN}{rest}"
            for rest in (
                "",
                f"/{MONTH}",
                f"/{MONTH}/statement",
                f"/{MONTH}/statement.csv",
                f"/{MONTH}/verification?revision=1",
            )
        ],
    ),
    "/api/v1/changes": ([], []),
    "/api/v1/incidents": (
        [
            "/api/v1/incidents?limit=200",
            "/api/v1/incidents?sort=opened_at&limit=200",
            "/api/v1/incidents?q=inc&limit=200",
            f"/api/v1/incidents?tenant={OWN}",
        ],
        [],
    ),
    "/api/v1/incidents/{incident_id:path}": (
        ["/api/v1/incidents/{mine}", "/api/v1/incidents/{shared}"],
        ["/api/v1/incidents/{theirs}"],
    ),
    "/api/v1/tenants": (["/api/v1/tenants?limit=200", "/api/v1/tenants?q=a"], []),
    **{
        f"/api/v1/tenants/{{tenant_id:path}}{rest}": (
            [f"/api/v1/tenants/{OWN}{rest.replace('{month}', MONTH)}"],
            [f"/api/v1/tenants/{FOREIGN}{rest.replace('{month}', MONTH)}"],
        )
        for rest in ("", "/months", "/months/{month}", "/months/{month}/breaches")
    },
    # Asks Kafka: tests/board/test_actions_api.py.
    "/api/v1/inputs/{topic}/{partition}/{offset}": ([], []),
    "/proposals": (["/proposals"], []),
    "/proposals/{proposal_id}": (
        ["/proposals/of-mine"],
        ["/proposals/of-shared", "/proposals/of-theirs", "/proposals/of-everybody"],
    ),
    "/api/v1/proposals": (["/api/v1/proposals"], []),
    "/api/v1/proposals/{proposal_id}": (
        ["/api/v1/proposals/of-mine"],
        ["/api/v1/proposals/of-shared", "/api/v1/proposals/of-theirs", "/api/v1/proposals/of-everybody"],
    ),
}
#: The tenants that each proposal concerns; None: everybody.
PROPOSALS = {"of-mine": (OWN,), "of-shared": (OWN, FOREIGN), "of-theirs": (FOREIGN,), "of-everybody": None}


@pytest.fixture(scope="module")
def engine(read_model: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A copy: what is refused is written to the audit log."""
    file = tmp_path_factory.mktemp("scope") / "board.db"
    with sqlite3.connect(str(read_model.url.database)) as source, sqlite3.connect(file) as target:
        source.backup(target)
    made = open_engine(f"sqlite:///{file}")
    with writing(made).begin() as connection:
        form, who = {"reason": "a drill"}, Who("support", "ann")
        apply_proposals(
            connection,
            [
                Proposed(name, NOW, "annul", "inc-1", tenants, 1, form, who, NOW + DAY)
                for name, tenants in PROPOSALS.items()
            ],
        )
    yield made
    made.dispose()


@pytest.fixture(scope="module")
def app(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    return access_app(engine, board_settings(tmp_path_factory.mktemp("tokens")), MovingClock(NOW))


@pytest.fixture(scope="module")
def limited(app: FastAPI) -> TestClient:
    return client_of(app, "pat", {OWN})


@pytest.fixture(scope="module")
def unlimited(app: FastAPI) -> TestClient:
    return client_of(app, "kim", None)


def client_of(app: FastAPI, name: str, tenants: set[str] | None) -> TestClient:
    client = browser(app)
    token = token_of(app.state.context.settings, name, Role.VIEWER, tenants=tenants)
    client.headers["Authorization"] = f"Bearer {token}"
    return client


@pytest.fixture(scope="module")
def ids(engine: Engine) -> dict[str, str]:
    """Incidents by whom they concern."""
    concerned: dict[str, set[str]] = {}
    with engine.connect() as connection:
        for tenant, name in connection.execute(select(incident_tenant)):
            concerned.setdefault(name, set()).add(tenant)
    names = sorted(concerned)
    return {
        "mine": next(name for name in names if concerned[name] == {OWN}),
        "shared": next(name for name in names if OWN in concerned[name] and len(concerned[name]) > 1),
        "theirs": next(name for name in names if OWN not in concerned[name]),
    }


def names_others(text: str) -> list[str]:
    return [name for name in OTHERS if re.search(rf"\b{name}\b", text)]


def test_every_scoped_address_has_samples(app: FastAPI) -> None:
    # Those of actions have a table of their own: tests/board/test_actions_api.py.
    reads = {permission for permission in Permission if permission.startswith("read-")}
    scoped = {
        each.path for each in Addresses(app).all if each.requirement.scoped and each.requirement.permission in reads
    }
    assert scoped == set(SAMPLES)


@pytest.mark.parametrize("path", SAMPLES)
def test_answers_about_own_tenants_name_no_other(
    limited: TestClient, unlimited: TestClient, ids: dict[str, str], path: str
) -> None:
    for sample in SAMPLES[path][0]:
        answer = limited.get(sample.format(**ids))
        assert answer.status_code == 200, sample
        assert names_others(answer.text) == [], sample
        assert unlimited.get(sample.format(**ids)).status_code == 200


@pytest.mark.parametrize("path", SAMPLES)
def test_what_is_about_other_tenants_does_not_exist(
    limited: TestClient, unlimited: TestClient, ids: dict[str, str], path: str
) -> None:
    for sample in SAMPLES[path][1]:
        answer = limited.get(sample.format(**ids))
        assert answer.status_code == 404, sample
        assert unlimited.get(sample.format(**ids)).status_code == 200, sample


def test_samples_would_show_a_leak(unlimited: TestClient, ids: dict[str, str]) -> None:
    """The same addresses name other tenants to who may see them."""
    for path in ("/", "/incidents/{incident_id:path}", "/tenants", "/api/v1/incidents", "/api/v1/tenants"):
        assert any(names_others(unlimited.get(each.format(**ids)).text) for each in SAMPLES[path][0]), path


def test_lists_have_what_concerns_the_tenant_and_what_concerns_everybody(limited: TestClient, engine: Engine) -> None:
    with engine.connect() as connection:
        mine = set(
            connection.execute(
                select(incident_tenant.c.incident_id).where(incident_tenant.c.tenant_id == OWN)
            ).scalars()
        )
        platform = set(
            connection.execute(select(incident.c.incident_id).where(incident.c.scope == "platform")).scalars()
        )
    found: set[str] = set()
    cursor = ""
    while cursor is not None:
        answer = limited.get("/api/v1/incidents", params={"limit": 50, **({"cursor": cursor} if cursor else {})}).json()
        found.update(each["incident_id"] for each in answer["incidents"])
        cursor = answer["next_cursor"]
    assert found == mine | platform
    assert platform
    tenants = limited.get("/api/v1/tenants").json()
    assert [each["tenant_id"] for each in tenants["tenants"]] == [OWN]
    assert tenants["total"] == 1


def test_a_list_of_proposals_has_those_that_concern_the_own_tenants_alone(
    limited: TestClient, unlimited: TestClient
) -> None:
    def listed(client: TestClient) -> set[str]:
        return {each["proposal_id"] for each in client.get("/api/v1/proposals").json()["proposals"]}

    assert listed(limited) == {"of-mine"}
    assert listed(unlimited) == set(PROPOSALS)


def test_a_filter_by_a_foreign_tenant_tells_nothing(limited: TestClient, unlimited: TestClient) -> None:
    """An incident of both tenants would tell that it concerns the other one."""
    for tenant in OTHERS:
        assert limited.get("/api/v1/incidents", params={"tenant": tenant}).json()["incidents"] == []
        assert unlimited.get("/api/v1/incidents", params={"tenant": tenant}).json()["incidents"]


def test_changed_rows_and_counts_are_those_of_the_tenant(limited: TestClient, ids: dict[str, str]) -> None:
    answer = limited.post("/live/changed?status=any", json={"ids": list(ids.values())})
    shown = set(re.findall(r'data-id="([^"]+)"', answer.text))
    assert shown == {ids["mine"], ids["shared"]}
    assert names_others(answer.text) == []


def test_a_verification_of_a_foreign_month_does_not_start(limited: TestClient) -> None:
    assert limited.post(f"/tenants/{FOREIGN}/{MONTH}/verification?revision=1").status_code == 404
    assert limited.post(f"/tenants/{OWN}/{MONTH}/verification").status_code == 400  # it only lacks the revision


def test_internal_updates_have_neither_text_nor_author(
    engine: Engine, limited: TestClient, unlimited: TestClient
) -> None:
    who = {"kind": "support", "id": "zoe"}
    secret = json.dumps({"visibility": "internal", "text": "root password", "who": who})
    with writing(engine).begin() as connection:
        mine = select(incident_tenant.c.incident_id).where(incident_tenant.c.tenant_id == OWN)
        updates = (entry.c.type == "incident.updated", entry.c.subject.in_(mine))
        subject = connection.execute(select(entry.c.subject).where(*updates).order_by(entry.c.offset)).scalars().first()
        connection.execute(update(entry).where(*updates, entry.c.subject == subject).values(data=secret))
    for path in (f"/api/v1/incidents/{subject}", f"/incidents/{subject}"):
        for text in ("root password", "zoe"):
            assert text in unlimited.get(path).text
            assert text not in limited.get(path).text


def test_other_incidents_that_are_not_visible_are_not_named() -> None:
    scope = TenantScope(frozenset({OWN}))
    data = {"into": "theirs", "other": "mine", "tenant_ids": ["acme", OWN], "x": 1}
    assert scope.event_data("incident.merged", data, frozenset({"mine"})) == {
        "other": "mine",
        "tenant_ids": [OWN],
        "x": 1,
    }
    assert TenantScope().event_data("incident.merged", data, frozenset()) is data


def test_an_incident_merged_into_a_foreign_one_is_shown_without_it(
    engine: Engine, limited: TestClient, ids: dict[str, str]
) -> None:
    link = {"relation": "merged_into", "other": ids["theirs"], "standing": True, "link_revision": 1}
    with writing(engine).begin() as connection:
        about = (entry.c.subject == ids["mine"], entry.c.topic == "incidents")
        row = dict(connection.execute(select(entry).where(*about)).first()._mapping)
        row |= {"offset": row["offset"] + 900_000, "type": "incident.link_changed", "event_id": "link"}
        connection.execute(entry.insert(), row | {"data": json.dumps(link)})
    for path in (f"/api/v1/incidents/{ids['mine']}", f"/incidents/{ids['mine']}"):
        answer = limited.get(path)
        assert answer.status_code == 200
        assert f'"{ids["theirs"]}"' not in answer.text
        assert f"/incidents/{ids['theirs']}" not in answer.text


def test_changes_name_what_concerns_the_tenants_now_or_before(engine: Engine, ids: dict[str, str]) -> None:
    scope = TenantScope(frozenset({OWN}))
    change = Change(7, frozenset(ids.values()), frozenset({(OWN, MONTH), (FOREIGN, MONTH)}), True, True)
    with engine.connect() as connection:
        narrowed = scope.change(connection, change)
        theirs = scope.change(connection, Change(8, frozenset({ids["theirs"]}), rejects=True))
        resync = scope.change(connection, Change(9, resync=True))
        assert TenantScope().change(connection, change) is change
    assert narrowed == Change(7, frozenset({ids["mine"], ids["shared"]}), frozenset({(OWN, MONTH)}))
    assert theirs is None
    assert resync == Change(9, resync=True)
    with writing(engine).begin() as connection:
        connection.execute(named_tenant.insert(), {"tenant_id": OWN, "kind": "incident", "subject": ids["theirs"]})
        before = scope.change(connection, Change(8, frozenset({ids["theirs"]})))
        connection.rollback()
    assert before == Change(8, frozenset({ids["theirs"]}))


@pytest.mark.parametrize("path", ["/api/v1/changes", "/live/changes"])
def test_event_streams_send_what_concerns_the_tenant_and_end_with_the_token(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ids: dict[str, str], path: str
) -> None:
    import httpx

    monkeypatch.setattr("board.event_stream.CHECK_S", 0.0)
    settings = board_settings(tmp_path)
    app = access_app(engine, settings, MovingClock(NOW))
    bearer = {"Authorization": f"Bearer {token_of(settings, 'pat', Role.VIEWER, tenants={OWN})}"}
    changes = app.state.context.changes
    with served(app) as address, httpx.stream("GET", address + path, headers=bearer, timeout=TIMEOUT_S) as answer:
        assert answer.status_code == 200
        lines = answer.iter_lines()
        next(lines)
        wait(lambda: changes.subscribers == 1)
        changes.publish(Change(1, frozenset({ids["theirs"]}), frozenset({(FOREIGN, MONTH)}), rejects=True))
        changes.publish(Change(2, frozenset({ids["mine"]}), frozenset({(FOREIGN, MONTH)})))
        got = ""
        while "id: 2" not in got or "data:" not in got.partition("id: 2")[2]:
            got += next(lines) + "\n"
        assert ids["mine"] in got
        assert ids["theirs"] not in got
        assert FOREIGN not in got
        remove_token(settings.tokens, "pat")
        changes.publish(Change(3, frozenset({ids["mine"]})))
        rest = "\n".join(lines)  # until the stream ends
        assert "id: 3" not in rest


def test_the_navigation_leads_only_where_the_person_may_go(limited: TestClient, unlimited: TestClient) -> None:
    def navigation(client: TestClient) -> list[str]:
        html = client.get("/").text.partition("<nav")[2].partition("</nav>")[0]
        return re.findall(r'href="([^"]+)"', html)

    assert navigation(limited) == ["/", "/tenants", "/proposals", "/maintenance"]
    assert len(navigation(unlimited)) == 8


def test_a_statement_shows_nothing_of_an_incident_that_concerns_others_by_now(engine: Engine) -> None:
    scope = TenantScope(frozenset({OWN}))
    with writing(engine).begin() as connection:
        detail = revisions(connection, OWN, MONTH)[-1]
        named = [each.id for each in detail.evidence if each.kind == "incident"]
        before = incident_links(connection, named, scope)
        moved = next(each.incident_id for each in before if each.severity is not None)
        concerned = incident_tenant.c.incident_id == moved
        connection.execute(incident_tenant.delete().where(concerned))
        connection.execute(incident_tenant.insert(), {"tenant_id": FOREIGN, "incident_id": moved})
        connection.execute(update(incident).where(incident.c.incident_id == moved).values(scope="tenants"))
        after = incident_links(connection, named, scope)
        assert set(after) == {each if each.incident_id != moved else NamedIncident(moved) for each in before}
        assert set(incident_links(connection, named)) == set(before)
        connection.rollback()
