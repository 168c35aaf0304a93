"""The live page: order, filters in the address, what is due in words, changed rows."""

from __future__ import annotations

import json
import re
from html import unescape
from urllib.request import urlopen

import pytest
from board_history import NOW
from board_rows import add_incident
from board_server import served
from fastapi.testclient import TestClient
from page_client import page_app, page_client, shown
from sqlalchemy import Engine, update

from board.changes import Change, Changes
from board.ingest.status import IngestStatus
from board.pages.live import LiveFilter
from board.pages.urgency import Deadline
from board.store.engine import writing
from board.store.tables import incident
from streams.sla.instants import HOUR, MINUTE
from tests.waiting import TIMEOUT_S

HOSTILE = ("a/b", "../x", ".", "..", "a?b#c", "'\"<b>&", "日本語 id", "%2F", "x" * 128)


@pytest.fixture
def client(read_model: Engine) -> TestClient:
    return page_client(read_model, NOW)


@pytest.fixture
def hand_made(empty_read_model: Engine) -> Engine:
    with writing(empty_read_model).begin() as connection:
        for number in range(250):
            severity = ("P1", "P2", "P3", "P4")[number % 4]
            add_incident(
                connection,
                f"inc-{number:03}",
                severity=severity,
                next_deadline=NOW + number * MINUTE if number < 240 else None,
                changed_at=NOW - number * MINUTE,
            )
    return empty_read_model


def ids(html: str) -> list[str]:
    return [unescape(each) for each in re.findall(r'data-row data-id="([^"]*)"', html)]


def test_open_incidents_come_by_nearest_deadline_in_pages(hand_made: Engine) -> None:
    client = page_client(hand_made, NOW)
    address, seen, pages = "/", [], 0
    while address:
        found = client.get(address, headers={"HX-Request": "true"} if pages else {})
        assert found.status_code == 200
        seen += ids(found.text)
        pages += 1
        after = re.search(r'hx-get="([^"]+)" hx-trigger="intersect', found.text)
        address = unescape(after[1]) if after else ""
    assert seen == [f"inc-{number:03}" for number in range(250)]
    assert pages == 3


@pytest.mark.parametrize(
    ("query", "count"),
    [("", 250), ("?severity=P1", 63), ("?severity=P1&severity=P2", 126), ("?q=INC-00", 10), ("?tenant=nobody", 0)],
)
def test_filters_stand_in_the_address(hand_made: Engine, query: str, count: int) -> None:
    found = page_client(hand_made, NOW).get(f"/{query}")
    total = re.search(r'<span class="total">([\d,]+)</span>', found.text)
    assert total is not None
    assert int(total[1]) == count
    assert len(ids(found.text)) == min(count, 100)


def test_a_filter_by_htmx_gives_the_list_alone_and_a_short_address(hand_made: Engine) -> None:
    client = page_client(hand_made, NOW)
    found = client.get("/?q=inc-00&severity=P1&component=&tenant=&status=open", headers={"HX-Request": "true"})
    assert found.text.lstrip().startswith('<section id="live"')
    assert found.headers["hx-replace-url"] == "/?severity=P1&q=inc-00"


def test_what_is_due_next_is_said_in_words(client: TestClient) -> None:
    text = shown(client.get("/?q=open-p1").text)
    assert "response due in 50 min" in text
    assert "no response yet" in text
    japanese = shown(client.get("/?q=open-p1&lang=ja").text)
    assert "初回応答の期限 あと50分" in japanese


def test_ended_incidents_come_by_latest_change(client: TestClient) -> None:
    found = client.get("/?status=resolved")
    keys = [int(key) for key in re.findall(r'data-key="(-\d+)"', found.text)]
    assert len(keys) == 100
    assert keys == sorted(keys)


def test_changed_rows_are_those_that_the_filter_has(hand_made: Engine) -> None:
    client = page_client(hand_made, NOW)
    asked = {"ids": ["inc-000", "inc-001", "inc-004", "absent"]}
    found = client.post("/live/changed?severity=P1", json=asked, headers={"Origin": "http://127.0.0.1"})
    assert ids(found.text) == ["inc-000", "inc-004"]
    assert '<span class="total">63</span>' in found.text


def test_more_ids_than_allowed_are_refused(client: TestClient) -> None:
    assert client.post("/live/changed", json={"ids": ["x"] * 501}).status_code == 400


def test_after_many_changes_as_many_rows_as_were_shown_are_loaded(hand_made: Engine) -> None:
    client = page_client(hand_made, NOW)
    assert len(ids(client.get("/?rows=240").text)) == 240
    assert len(ids(client.get("/?rows=100000").text)) == 250
    assert client.get("/?rows=0").status_code == 400


@pytest.mark.parametrize("after", ["x", "~", "1~2~3", "9" * 400 + "~a", "-5~", "--~a", "-~a"])
def test_any_cursor_is_answered(client: TestClient, after: str) -> None:
    assert client.get("/", params={"after": after}).status_code == 200


@pytest.mark.parametrize("incident_id", HOSTILE)
def test_hostile_ids_are_escaped_and_lead_to_their_page(empty_read_model: Engine, incident_id: str) -> None:
    with writing(empty_read_model).begin() as connection:
        add_incident(connection, incident_id, summary="<script>alert(1)</script>", component="<img src=x>")
    client = page_client(empty_read_model, NOW)
    found = client.get("/")
    assert "<script>alert" not in found.text
    assert "<img" not in found.text
    assert ids(found.text) == [incident_id]
    link = re.search(r'<a href="(/incidents/[^"]*)"', found.text)
    assert link is not None
    page = client.get(unescape(link[1]))
    assert page.status_code == 200
    assert "<script>alert" not in page.text
    assert "<img" not in page.text
    assert unescape(page.text).count(incident_id) > 0


def test_an_empty_board_says_how_to_publish(empty_read_model: Engine) -> None:
    found = page_client(empty_read_model, NOW).get("/")
    assert "No incident is open" in found.text
    assert "sla publish" in found.text
    filtered = page_client(empty_read_model, NOW).get("/?q=x&lang=ja")
    assert "条件に合うインシデントはありません" in filtered.text


@pytest.mark.parametrize("path", ["/", "/?status=any", "/?status=resolved&lang=ja"])
def test_the_page_has_no_inline_scripts_or_styles(client: TestClient, path: str) -> None:
    text = client.get(path).text
    assert re.findall(r"<script(?![^>]*(?:\bsrc=|application/json))", text) == []
    assert re.findall(r"<style|\sstyle=|\son\w+=", text) == []


def test_urgency_follows_the_thresholds() -> None:
    due = Deadline("response", 1, False, NOW, NOW + 2 * HOUR, (NOW + HOUR, NOW + 90 * MINUTE))
    at = {0: "calm", 59: "calm", 60: "soon", 89: "soon", 90: "urgent", 119: "urgent", 120: "late", 500: "late"}
    assert {minute: due.urgency(NOW + minute * MINUTE) for minute in at} == at
    assert [due.elapsed(NOW + minute * MINUTE) for minute in (-1, 0, 60, 240)] == [0, 0, 50, 100]
    assert Deadline("update", 1, False, NOW, NOW + HOUR, ()).urgency(NOW + 59 * MINUTE) == "calm"


def test_a_severity_is_toggled_in_its_order() -> None:
    assert LiveFilter(("P2",)).toggled("P1").severities == ("P1", "P2")
    assert LiveFilter(("P1", "P2")).toggled("P1").address() == "/?severity=P2"


def test_a_database_that_is_away_is_said_so(empty_read_model: Engine) -> None:
    with writing(empty_read_model).begin() as connection:
        connection.exec_driver_sql("DROP TABLE incident")
    found = page_client(empty_read_model, NOW).get("/")
    assert found.status_code == 503
    assert "The board's database does not answer" in unescape(found.text)
    problem = page_client(empty_read_model, NOW).get("/api/v1/incidents")
    assert (problem.status_code, problem.headers["content-type"]) == (503, "application/problem+json")


@pytest.mark.parametrize(
    ("status", "current", "since"),
    [
        (IngestStatus(failure=None, reached_end=True), True, None),
        (IngestStatus(failure=None, reached_end=True, ends={("alerts", 0): 1000}), True, None),
        (IngestStatus(failure=None, reached_end=True, ends={("alerts", 0): 1001}, applied_at=NOW), False, NOW // 1000),
        (IngestStatus(failure=None, reached_end=False), False, None),
        (IngestStatus(failure="no broker", reached_end=True, applied_at=NOW), False, NOW // 1000),
    ],
)
def test_the_stream_says_whether_the_rows_are_current(
    empty_read_model: Engine, status: IngestStatus, current: bool, since: int | None
) -> None:
    app = page_app(empty_read_model, NOW, ingest=lambda: status)
    with served(app) as address, urlopen(f"{address}/live/changes", timeout=TIMEOUT_S) as stream:
        lines = iter(lambda: stream.readline().decode().strip(), None)
        assert next(line for line in lines if line.startswith("event:")) == "event: status"
        assert json.loads(next(lines).removeprefix("data: ")) == {"current": current, "since": since}


def test_a_row_shows_the_flags_of_an_open_incident(empty_read_model: Engine) -> None:
    state = json.dumps({"clocks": [], "flags": ["unknown_component", "<new>"]})
    with writing(empty_read_model).begin() as connection:
        add_incident(connection, "misspelt", covered=False, next_deadline=None, data=state)
        add_incident(connection, "ended", status="resolved", covered=False, next_deadline=None, data=state)
    client = page_client(empty_read_model, NOW)
    page = client.get("/").text
    assert 'data-tone="urgent">⚠ unknown component: check its spelling</span>' in page
    assert "⚠ flag: &lt;new&gt;" in page
    assert "⚠ 不明なコンポーネント" in client.get("/", headers={"Accept-Language": "ja"}).text
    assert "⚠" not in client.get("/?status=resolved").text


def test_a_row_that_was_shown_before_follows_the_time_and_its_incident(hand_made: Engine) -> None:
    def row(now: int, incident_id: str = "inc-020", **headers: str) -> str:
        found = page_client(hand_made, now).post("/live/changed", json={"ids": [incident_id]}, headers=headers)
        return shown(found.text)

    before = row(NOW)
    assert "in 20 min" in before
    assert row(NOW) == before
    assert "in 5 min" in row(NOW + 15 * MINUTE)
    assert row(NOW, **{"Accept-Language": "ja"}) != before
    with writing(hand_made).begin() as connection:
        connection.execute(update(incident).where(incident.c.incident_id == "inc-020").values(summary="<slot/> & more"))
    assert "&lt;slot/&gt; &amp; more" in page_client(hand_made, NOW).get("/").text
    assert row(NOW) != before


def test_a_page_follows_the_changes_that_it_does_not_show(empty_read_model: Engine) -> None:
    app = page_app(empty_read_model, NOW)
    changes: Changes = app.state.context.changes
    changes.publish(Change(7))
    with served(app) as address:
        with urlopen(address, timeout=TIMEOUT_S) as page:
            followed = re.search('hx-sse:connect="([^"]+)"', page.read().decode())
        assert followed is not None
        changes.publish(Change(8, frozenset({"meanwhile"})))
        with urlopen(f"{address}{followed[1]}", timeout=TIMEOUT_S) as stream:
            lines = iter(lambda: stream.readline().decode().strip(), None)
            assert next(line for line in lines if line.startswith("event:")) == "event: change"
            assert json.loads(next(lines).removeprefix("data: "))["incidents"] == ["meanwhile"]
