"""The pages of rejected input and of the system."""

from __future__ import annotations

import json
import re
from html import unescape
from typing import Any

import pytest
from board_history import NOW
from board_rows import add_incident
from fastapi.testclient import TestClient
from page_client import page_client, shown
from sqlalchemy import Connection, Engine

from board.ingest.status import IngestStatus
from board.pages.rejected_texts import rejected_phrases
from board.store import tables
from board.store.engine import writing
from streams.sla.events import REJECT_CODES
from streams.sla.instants import HOUR, MINUTE


@pytest.fixture
def client(read_model: Engine) -> TestClient:
    return page_client(read_model, NOW)


def add_reject(connection: Connection, offset: int, **given: Any) -> None:
    row = {
        "partition": 0,
        "offset": offset,
        "rejected_at": NOW - offset,
        "code": "undecodable",
        "message": "<script>alert(1)</script>",
        "agent": "incidents",
        "original_topic": "incident-events",
        "original_partition": 3,
        "original_offset": 1042,
        "original": b"\x00<script>\xff",
        "headers": json.dumps([["sla_error_code", "<b>"]]),
        **given,
    }
    connection.execute(tables.reject.insert(), row)


def test_the_list_has_reason_message_and_place(client: TestClient) -> None:
    text = shown(client.get("/rejected").text)
    assert "needs a second person four_eyes" in text
    assert re.search(r"open-p1 .*incident-events \d \d+", text)
    only = client.get("/rejected?code=orphan").text
    assert set(re.findall(r'<small class="muted mono">(\w+)</small>', only)) == {"orphan"}


def test_one_reject_has_its_original_and_how_to_retry(client: TestClient) -> None:
    listed = client.get("/rejected?code=four_eyes").text
    address = re.search(r'href="(/rejected/\d+/\d+)"', listed)
    assert address is not None
    text = unescape(client.get(address[1]).text)
    assert re.search(r"sla rejected retry incident-events/\d/\d+</code>", text)
    assert '"type": "incident.annulled"' in text
    assert "Retry with an approver who is another person." in text


def test_what_is_no_event_is_shown_as_bytes_and_escaped(empty_read_model: Engine) -> None:
    with writing(empty_read_model).begin() as connection:
        add_reject(connection, 1)
    page = page_client(empty_read_model, NOW).get("/rejected/0/1").text
    assert "00 3c 73 63 72 69 70 74 3e ff" in page
    assert "<script>alert" not in page
    assert "<b>" not in page


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"original_topic": "a; rm -rf x"}, "sla rejected retry 'a; rm -rf x/3/1042'"),
        ({"code": "too_late"}, "sla rejected retry incident-events/3/1042 --backfill"),
        ({"original": None}, "The board has no copy of the original"),
        ({"code": "of_a_later_release"}, "Read the message; then retry."),
    ],
)
def test_corners_of_a_reject(empty_read_model: Engine, given: dict[str, Any], expected: str) -> None:
    with writing(empty_read_model).begin() as connection:
        add_reject(connection, 1, **given)
    assert expected in unescape(page_client(empty_read_model, NOW).get("/rejected/0/1").text)


def test_what_the_intake_refused_has_no_retry(empty_read_model: Engine) -> None:
    with writing(empty_read_model).begin() as connection:
        add_reject(connection, 1, original_topic="intake/zendesk", agent="intake")
    assert "sla rejected retry" not in page_client(empty_read_model, NOW).get("/rejected/0/1").text


def test_every_code_has_a_name_and_an_advice() -> None:
    for language in ("en", "ja"):
        phrases = rejected_phrases(language)
        assert set(phrases.codes) == set(REJECT_CODES)
        assert set(phrases.advice) == {*REJECT_CODES, "unknown"}


def test_many_rejects_come_in_pages(empty_read_model: Engine) -> None:
    with writing(empty_read_model).begin() as connection:
        for offset in range(250):
            add_reject(connection, offset, code="invalid")
    client = page_client(empty_read_model, NOW)
    text, seen = client.get("/rejected?code=invalid").text, 0
    while True:
        seen += text.count("<tr data-row>")
        after = re.search(r'hx-get="([^"]+)"', text)
        if after is None:
            break
        text = client.get(unescape(after[1]), headers={"HX-Request": "true"}).text
    assert seen == 250


def test_empty_and_unknown(empty_read_model: Engine) -> None:
    client = page_client(empty_read_model, NOW)
    assert "Nothing was rejected" in client.get("/rejected").text
    assert "不受理はありません" in client.get("/rejected?lang=ja").text
    assert "There is no reject at 7/8" in client.get("/rejected/7/8?lang=en").text
    assert client.get("/rejected/x/8").status_code == 400
    assert client.get("/rejected?after=1~2").status_code == 200


def test_the_system_page_has_versions_partitions_and_rejects(client: TestClient) -> None:
    text = shown(client.get("/system").text)
    assert "scalr-emergency 1" in text
    assert "✓ the same" in text
    assert "needs a second person" in text


def test_the_system_page_has_every_partition(empty_read_model: Engine) -> None:
    with writing(empty_read_model).begin() as connection:
        for partition in range(3):
            row = {"topic": "alerts", "partition": partition, "topic_id": "", "next_offset": 10 + partition}
            connection.execute(tables.checkpoint.insert(), row | {"current_at": NOW})
    text = shown(page_client(empty_read_model, NOW).get("/system").text)
    assert "✓ All records are applied. Records applied: 33" in text
    assert "alerts 3 0 10 11 12" in text
    behind = IngestStatus(failure=None, reached_end=True, ends={("alerts", 1): 18}, positions={("alerts", 1): 11})
    text = shown(page_client(empty_read_model, NOW, ingest=lambda: behind).get("/system").text)
    assert "7 records are not applied yet." in text
    assert "alerts 3 7 10 11 12" in text


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (IngestStatus(failure=None, read=1, total=4), "being built from the topics: 25 % are read."),
        (IngestStatus(failure="no <b> broker", applied_at=NOW - HOUR), "cannot be read at present: no <b> broker"),
        (IngestStatus(failure="x", reached_end=True, applied_at=NOW - HOUR), "What is shown is as of 1 h 00 min ago."),
    ],
)
def test_the_system_page_says_what_the_ingest_does(
    empty_read_model: Engine, status: IngestStatus, expected: str
) -> None:
    found = page_client(empty_read_model, NOW, ingest=lambda: status).get("/system").text
    assert expected in shown(found)
    assert "<b>" not in found


def test_the_system_page_says_what_waits_for_a_worker(empty_read_model: Engine) -> None:
    client = page_client(empty_read_model, NOW)
    assert "Nothing is overdue" in client.get("/system").text
    assert "Nothing has been read from Kafka yet" in client.get("/system").text
    state = json.dumps({"policy": {"name": "gone", "version": "1", "digest": "0" * 64}, "clocks": []})
    with writing(empty_read_model).begin() as connection:
        add_incident(connection, "late", next_at=NOW - HOUR, policy="gone", data=state)
        add_incident(connection, "ended", status="resolved", next_at=NOW - 2 * HOUR, policy="gone", data=state)
        add_incident(connection, "just-due", next_at=NOW - 1, policy="gone", data=state)
    text = shown(client.get("/system").text)
    assert "1 open incident waits for a worker. The first was due 1 h 00 min ago." in text
    assert "missing: put it into SLA_POLICIES" in text


def test_what_the_notifier_keeps_is_shown(empty_read_model: Engine) -> None:
    with writing(empty_read_model).begin() as connection:
        state = json.dumps({"policy": {"name": "scalr-emergency", "version": "1", "digest": "0" * 64}, "clocks": []})
        add_incident(connection, "inc", data=state)
        for kind in ("page", "parked"):
            row = {"key": kind, "destination": "<pager>", "kind": kind, "incident_id": "inc", "partition": 0}
            data = json.dumps({"reason": "status 410"} if kind == "parked" else {"open": {"response 1": "x"}})
            connection.execute(
                tables.notification.insert(), row | {"written_at": NOW - MINUTE, "offset": 1, "data": data}
            )
    client = page_client(empty_read_model, NOW)
    text = shown(client.get("/incidents/inc").text)
    assert re.search(r"<pager> given up .* status 410", text)
    assert "response 1" in text
    assert "<pager> given up 1 1 min ago" in shown(client.get("/system").text)


@pytest.mark.parametrize("path", ["/rejected", "/system", "/incidents/open-p1", "/rejected?lang=ja", "/system?lang=ja"])
def test_the_pages_have_no_inline_scripts_or_styles(client: TestClient, path: str) -> None:
    text = client.get(path).text
    assert re.findall(r"<script(?![^>]*(?:\bsrc=|application/json))", text) == []
    assert re.findall(r"<style|\sstyle=|\son\w+=", text) == []


def test_timers_of_loaded_history_are_not_overdue(empty_read_model: Engine) -> None:
    state = json.dumps({"policy": {"name": "gone", "version": "1", "digest": "0" * 64}, "clocks": []})
    with writing(empty_read_model).begin() as connection:
        add_incident(connection, "loaded", next_at=NOW - HOUR, backfill=True, policy="gone", data=state)
    client = page_client(empty_read_model, NOW)
    text = shown(client.get("/system").text)
    assert "Nothing is overdue" in text
    assert "1 open incident of loaded history waits for the end of the load." in text
    expected = {"overdue": 0, "first": None, "waiting_for_backfill": 1}
    assert client.get("/api/v1/system").json()["timers"] == expected
