"""GET /api/v1/incidents: filters, orders, cursors that survive changes, one incident with its timeline, ETags."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from board_rows import NOW, add_entry, add_incident, app_of
from fastapi.testclient import TestClient
from sqlalchemy import Engine, update

from board.store import tables
from streams.sla.instants import HOUR, MINUTE

URL = "/api/v1/incidents"


@pytest.fixture
def engine(empty_read_model: Engine) -> Engine:
    return empty_read_model


@pytest.fixture
def client(engine: Engine) -> TestClient:
    return TestClient(app_of(engine), base_url="http://127.0.0.1")


def ids(client: TestClient, **parameters: Any) -> list[str]:
    answer = client.get(URL, params=parameters)
    assert answer.status_code == 200, answer.text
    return [each["incident_id"] for each in answer.json()["incidents"]]


def all_pages(client: TestClient, **parameters: Any) -> Iterator[list[str]]:
    cursor = None
    while True:
        answer = client.get(URL, params={**parameters, **({} if cursor is None else {"cursor": cursor})}).json()
        yield [each["incident_id"] for each in answer["incidents"]]
        cursor = answer["next_cursor"]
        if cursor is None:
            return


def test_the_nearest_deadline_comes_first_and_none_comes_last(engine: Engine, client: TestClient) -> None:
    with engine.begin() as connection:
        add_incident(connection, "later", next_deadline=NOW + HOUR)
        add_incident(connection, "waits", next_deadline=None)
        add_incident(connection, "soon", next_deadline=NOW + MINUTE)
        add_incident(connection, "ended", status="resolved", next_deadline=None)
    assert ids(client) == ["soon", "later", "ended", "waits"]
    assert ids(client, status="open") == ["soon", "later", "waits"]


def test_other_orders_have_the_latest_first(engine: Engine, client: TestClient) -> None:
    with engine.begin() as connection:
        add_incident(connection, "a", opened_at=NOW, changed_at=NOW + 9)
        add_incident(connection, "b", opened_at=NOW + 1, changed_at=NOW + 5)
    assert ids(client, sort="opened_at") == ["b", "a"]
    assert ids(client, sort="changed_at") == ["a", "b"]


def test_filters(engine: Engine, client: TestClient) -> None:
    with engine.begin() as connection:
        add_incident(connection, "plain")
        add_incident(connection, "p1", severity="P1", component="ui", breached=2, tenant_ids=["acme", "globex"])
        add_incident(connection, "old", status="resolved", backfill=True, next_deadline=None, ticket_id="T-77")
        add_incident(connection, "all", scope="platform", tenant_ids=[], summary="50% of calls fail_")
    assert ids(client, severity="P1") == ["p1"]
    assert ids(client, severity=["P1", "P2"], component="ui") == ["p1"]
    assert ids(client, tenant="globex") == ["p1"]
    assert ids(client, tenant="nobody") == []
    assert ids(client, breached="true") == ["p1"]
    assert ids(client, breached="false", status=["open"]) == ["all", "plain"]
    assert ids(client, backfill="true") == ["old"]
    assert ids(client, q="t-77") == ["old"]
    assert ids(client, q="0% of") == ["all"]
    assert ids(client, q="fail_") == ["all"]
    assert ids(client, q="インシデント p1") == ["p1"]
    assert ids(client, q="%") == ["all"]


@pytest.mark.parametrize("searched", [{}, {"q": "P2"}])
@pytest.mark.parametrize("sort", ["next_deadline", "opened_at", "changed_at"])
def test_pages_neither_skip_nor_repeat(engine: Engine, client: TestClient, sort: str, searched: dict[str, str]) -> None:
    with engine.begin() as connection:
        for number in range(23):
            add_incident(
                connection,
                f"i{number:02}",
                status="open" if number % 2 else "resolved",
                next_deadline=NOW + number // 3 if number < 15 else None,
                opened_at=NOW + number // 4,
                changed_at=NOW - number // 4,
            )
    pages = list(all_pages(client, sort=sort, limit=5, **searched))
    assert [len(page) for page in pages] == [5, 5, 5, 5, 3]
    listed = [each for page in pages for each in page]
    assert sorted(listed) == [f"i{number:02}" for number in range(23)]
    assert listed == ids(client, sort=sort, limit=200)  # with a text in the same order as without


def test_a_cursor_stays_valid_while_incidents_change(engine: Engine, client: TestClient) -> None:
    """Those that stay as they are come exactly once, although the row that ended the page moved and others ended."""
    with engine.begin() as connection:
        for number in range(20):
            add_incident(connection, f"i{number:02}", next_deadline=NOW + number)
    seen: list[str] = []
    for page_number, page in enumerate(all_pages(client, status="open", limit=4)):
        seen += page
        with engine.begin() as connection:
            moved = tables.incident.c.incident_id == page[-1]
            connection.execute(update(tables.incident).where(moved).values(next_deadline=NOW - 5))
            ended = tables.incident.c.incident_id == page[0]
            connection.execute(update(tables.incident).where(ended).values(status="resolved", next_deadline=None))
            add_incident(connection, f"new{page_number}", next_deadline=NOW - 1)
    assert seen == [f"i{number:02}" for number in range(20)]


@pytest.mark.parametrize(
    ("parameters", "named", "allowed"),
    [
        ({"state": "open"}, "state", "allowed: backfill, breached"),
        ({"status": "closed"}, "status", "'open', 'resolved', 'merged' or 'annulled'"),
        ({"severity": "p1"}, "severity", "'P1', 'P2', 'P3' or 'P4'"),
        ({"limit": "0"}, "limit", "greater than or equal to 1"),
        ({"limit": "201"}, "limit", "less than or equal to 200"),
        ({"limit": "9" * 400}, "limit", "less than or equal to 200"),
        ({"limit": ["1", "2"]}, "limit", "allowed: once"),
        ({"sort": "severity"}, "sort", "'next_deadline', 'opened_at' or 'changed_at'"),
        ({"breached": "perhaps"}, "breached", "boolean"),
        ({"q": ""}, "q", "at least 1 character"),
        ({"q": "a\x00b"}, "q", "control character"),
        ({"q": "x" * 201}, "q", "at most 200 characters"),
        ({"tenant": "\x7f"}, "tenant", "control character"),
        ({"cursor": "%%%"}, "cursor", "`next_cursor` of the page before"),
        ({"cursor": "abc"}, "cursor", "`next_cursor` of the page before"),
        ({"cursor": "W10"}, "cursor", "`next_cursor` of the page before"),
        ({"cursor": "WyIwIiwxZTk5OSwiYSJd"}, "cursor", "`next_cursor` of the page before"),
    ],
)
def test_a_wrong_parameter_is_named_with_what_is_allowed(
    client: TestClient, parameters: dict[str, Any], named: str, allowed: str
) -> None:
    answer = client.get(URL, params=parameters)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    (problem,) = answer.json()["problems"]
    assert problem["parameter"] == named
    assert allowed in problem["problem"]


def test_a_cursor_belongs_to_its_filters(engine: Engine, client: TestClient) -> None:
    with engine.begin() as connection:
        add_incident(connection, "a")
        add_incident(connection, "b")
    cursor = client.get(URL, params={"limit": 1}).json()["next_cursor"]
    assert client.get(URL, params={"limit": 1, "cursor": cursor}).status_code == 200
    assert client.get(URL, params={"limit": 1, "cursor": cursor, "status": "open"}).status_code == 400
    assert client.get(URL, params={"limit": 1, "cursor": cursor, "sort": "opened_at"}).status_code == 400


@pytest.mark.parametrize("text", ["' OR 1=1 --", '"; DROP TABLE incident; --', "\\", "%_", "<script>", "𝕏\u200b", "?1"])
def test_text_is_only_ever_a_value(engine: Engine, client: TestClient, text: str) -> None:
    with engine.begin() as connection:
        add_incident(connection, "other")
        add_incident(connection, text, title_en=f"about {text}", component=text, tenant_ids=[text])
    assert ids(client, q=text) == [text]
    assert ids(client, tenant=text) == [text]
    assert ids(client, component=text) == [text]
    shown = client.get(f"{URL}/{quoted(text)}")
    assert shown.status_code == 200
    assert shown.json()["incident"]["incident_id"] == text


def quoted(text: str) -> str:
    from urllib.parse import quote

    return quote(text, safe="")


def test_one_incident_has_its_state_and_its_timeline(engine: Engine, client: TestClient) -> None:
    with engine.begin() as connection:
        add_incident(connection, "inc/7")
        add_incident(connection, "other")
        for offset in (3, 1, 2):
            add_entry(connection, "inc/7", offset)
        add_entry(connection, "other", 9)
        add_entry(connection, "inc/7", 1, topic="alerts", type="sla.warning", occurred_at=NOW + 2, arrived_at=NOW + 4)
        add_entry(connection, "inc/7", 1, topic="contract-events", type="maintenance.cancelled")
    shown = client.get(f"{URL}/inc%2F7").json()
    assert shown["incident"]["next_deadline"] == "2026-09-21T15:13:20Z"
    assert shown["state"]["clocks"][0]["metric"] == "update"
    entries = shown["timeline"]["entries"]
    assert [(each["evidence"]["topic"], each["evidence"]["offset"]) for each in entries] == [
        ("incident-events", 1),
        ("incident-events", 2),
        ("alerts", 1),
        ("incident-events", 3),
    ]
    assert entries[0]["data"] == {"who": {"kind": "support"}, "visibility": "public"}
    assert shown["timeline"]["next_cursor"] is None


def test_a_timeline_has_pages(engine: Engine, client: TestClient) -> None:
    with engine.begin() as connection:
        add_incident(connection, "a")
        for offset in range(7):
            add_entry(connection, "a", offset, occurred_at=NOW + offset // 3)
    offsets: list[int] = []
    cursor: dict[str, str] = {}
    while True:
        timeline = client.get(f"{URL}/a", params={"limit": 3, **cursor}).json()["timeline"]
        offsets += [each["evidence"]["offset"] for each in timeline["entries"]]
        if timeline["next_cursor"] is None:
            break
        cursor = {"cursor": timeline["next_cursor"]}
    assert offsets == list(range(7))


def test_an_unknown_incident_is_not_found(client: TestClient) -> None:
    answer = client.get(f"{URL}/nobody")
    assert answer.status_code == 404
    assert "'nobody'" in answer.json()["detail"]


def test_content_that_the_client_has_is_not_sent_again(engine: Engine, client: TestClient) -> None:
    with engine.begin() as connection:
        add_incident(connection, "a")
    first = client.get(URL)
    tag = first.headers["etag"]
    again = client.get(URL, headers={"If-None-Match": f'"other", W/{tag}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    with engine.begin() as connection:
        connection.execute(update(tables.incident).values(revision=2))
    changed = client.get(URL, headers={"If-None-Match": tag})
    assert changed.status_code == 200
    assert changed.headers["etag"] != tag
