"""GET /api/v1/rejects and /api/v1/policies."""

from __future__ import annotations

import json
from base64 import b64decode
from collections import Counter
from typing import Any

import pytest
from board_rows import NOW, app_of
from fastapi.testclient import TestClient
from sqlalchemy import Connection, Engine

from board.ingest.status import IngestStatus
from board.queries.system import read_position
from board.store import tables
from streams.policy.load import default_policies_dir, load_policies
from streams.serde.cloudevents_json import from_json
from streams.serde.codec import encode
from streams.sla.events import Rejection

URL = "/api/v1/rejects"


@pytest.fixture
def client(empty_read_model: Engine) -> TestClient:
    return TestClient(app_of(empty_read_model), base_url="http://127.0.0.1")


def add_reject(connection: Connection, offset: int, **given: Any) -> None:
    row = {
        "partition": 0,
        "offset": offset,
        "rejected_at": NOW + offset,
        "code": "invalid",
        "message": "tier: 4 is not allowed; allowed: 1 to 3",
        "agent": "incidents",
        "event_type": "incident.opened",
        "subject": f"inc-{offset}",
        "original_topic": "incident-events",
        "original_partition": 2,
        "original_offset": 70 + offset,
        "original": b"\xff\x00bytes",
        "headers": json.dumps([["sla_error_code", "invalid"]]),
        **given,
    }
    connection.execute(tables.reject.insert(), row)


def test_the_latest_come_first_and_filters_choose(empty_read_model: Engine, client: TestClient) -> None:
    with empty_read_model.begin() as connection:
        add_reject(connection, 1)
        add_reject(connection, 2, code="too_late", agent="ledger")
        add_reject(connection, 3, partition=1, rejected_at=NOW + 2)
        add_reject(connection, 4, original=None)
    listed = client.get(URL).json()["rejects"]
    assert [each["offset"] for each in listed] == [4, 3, 2, 1]
    assert listed[0]["original"] == {"topic": "incident-events", "partition": 2, "offset": 74, "size": None}
    assert listed[1]["original"]["size"] == 7
    for parameters, offsets in (
        ({"code": "too_late"}, [2]),
        ({"agent": "incidents"}, [4, 3, 1]),
        ({"subject": "inc-1"}, [1]),
    ):
        assert [each["offset"] for each in client.get(URL, params=parameters).json()["rejects"]] == offsets


def test_pages(empty_read_model: Engine, client: TestClient) -> None:
    with empty_read_model.begin() as connection:
        for offset in range(11):
            add_reject(connection, offset, rejected_at=NOW + offset // 4, partition=offset % 2)
    seen: list[int] = []
    cursor: dict[str, str] = {}
    while True:
        page = client.get(URL, params={"limit": 3, **cursor}).json()
        seen += [each["offset"] for each in page["rejects"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert seen == [each["offset"] for each in client.get(URL, params={"limit": 200}).json()["rejects"]]
    assert sorted(seen) == list(range(11))
    assert client.get(URL, params={**cursor, "code": "other"}).status_code == 400


def test_an_original_is_shown_as_bytes_and_decoded_where_it_is_an_event(
    empty_read_model: Engine, client: TestClient
) -> None:
    event = {
        "specversion": "1.0",
        "id": "e1",
        "type": "incident.responded",
        "source": "/desk",
        "subject": "inc-1",
        "time": "2026-01-02T03:04:05Z",
        "data": {"who": {"kind": "support"}},
    }
    parsed = from_json(event)
    assert not isinstance(parsed, Rejection)
    with empty_read_model.begin() as connection:
        add_reject(connection, 1)
        add_reject(connection, 2, original=encode(*parsed))
        add_reject(connection, 3, original=None)
    undecodable = client.get(f"{URL}/0/1").json()
    assert b64decode(undecodable["value_base64"]) == b"\xff\x00bytes"
    assert undecodable["event"] is None
    assert undecodable["headers"] == [{"name": "sla_error_code", "value": "invalid"}]
    assert client.get(f"{URL}/0/2").json()["event"] == event
    not_copied = client.get(f"{URL}/0/3").json()
    assert (not_copied["value_base64"], not_copied["event"]) == (None, None)
    assert client.get(f"{URL}/0/9").status_code == 404
    assert client.get(f"{URL}/x/9").status_code == 400
    assert client.get(f"{URL}/0/{2**63}").status_code == 400


def test_policies_are_listed_and_shown(client: TestClient) -> None:
    shipped = load_policies(default_policies_dir())
    listed = client.get("/api/v1/policies").json()["policies"]
    assert {(each["name"], each["version"], each["digest"]) for each in listed} == {
        (each.name, each.version, each.digest) for each in shipped
    }
    assert [each["name"] for each in listed if each["default"]] == ["scalr-emergency"]
    shown = client.get("/api/v1/policies/scalr-emergency/1").json()
    assert shown["document"]["severities"]["P1"]["response"]["within"] == "PT2H"
    assert client.get("/api/v1/policies/scalr-emergency/99").status_code == 404
    assert client.get("/api/v1/policies/..%2Fsecrets/1").status_code == 404


def test_the_state_of_the_system(read_model: Engine) -> None:
    status = IngestStatus(
        failure=None, reached_end=True, positions={("alerts", 0): 7}, ends={("alerts", 0): 9}, applied_at=NOW, skipped=3
    )
    client = TestClient(app_of(read_model, ingest=lambda: status), base_url="http://127.0.0.1")
    shown = client.get("/api/v1/system").json()
    assert shown["ingest"]["lag"] == 2
    assert shown["ingest"]["skipped"] == 3
    assert shown["ingest"]["reached_end"]
    assert [(each["name"], each["deployed"]) for each in shown["policy_versions"]] == [("scalr-emergency", "deployed")]
    listed = client.get("/api/v1/rejects", params={"limit": 200}).json()["rejects"]
    assert shown["rejects"] == dict(Counter(each["code"] for each in listed))
    with read_model.connect() as connection:
        assert shown["position"] == read_position(connection)
