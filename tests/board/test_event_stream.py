"""GET /api/v1/changes through the real server: what arrives and when, and what is left when either side ends."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from board_rows import app_of
from board_server import served
from sqlalchemy import Engine

from board import event_stream
from board.changes import Change, Changes
from board.metrics import BoardMetrics
from tests.waiting import TIMEOUT_S, wait

URL = "/api/v1/changes"


@pytest.fixture
def changes() -> Changes:
    return Changes()


@pytest.fixture
def address(empty_read_model: Engine, changes: Changes) -> Iterator[str]:
    with served(app_of(empty_read_model, changes=changes)) as address:
        yield address


def events(response: httpx.Response) -> Iterator[dict[str, Any]]:
    """The events of a stream as they come; comments have the name `comment`."""
    found: dict[str, Any] = {}
    for line in response.iter_lines():
        if not line:
            if found:
                yield found
            found = {}
            continue
        name, _, value = line.partition(":")
        found[name or "comment"] = json.loads(value) if name == "data" else value.strip()


def test_a_change_is_the_next_that_arrives(address: str, changes: Changes) -> None:
    with httpx.stream("GET", address + URL, timeout=TIMEOUT_S) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        following = events(response)
        assert next(following) == {"retry": "2000"}
        wait(lambda: changes.subscribers == 1)
        changes.publish(Change(41, frozenset({"b", "a"}), frozenset({("acme", "2026-10")}), rejects=True))
        event = next(following)
    assert event["event"] == "change"
    assert event["id"] == "41"
    assert event["data"] == {
        "position": 41,
        "incidents": ["a", "b"],
        "tenant_months": [{"tenant_id": "acme", "month": "2026-10"}],
        "rejects": True,
        "notifications": False,
    }


def test_a_browser_that_reconnects_gets_what_it_missed(address: str, changes: Changes) -> None:
    changes.publish(Change(1, frozenset({"a"})))
    changes.publish(Change(2, frozenset({"b"})))
    for given in ({"headers": {"Last-Event-ID": "1"}}, {"params": {"after": "1"}}):
        with httpx.stream("GET", address + URL, timeout=TIMEOUT_S, **given) as response:  # type: ignore[arg-type]
            following = events(response)
            next(following)
            event = next(following)
        assert (event["event"], event["data"]["incidents"]) == ("change", ["b"])
    with httpx.stream("GET", address + URL, timeout=TIMEOUT_S, headers={"Last-Event-ID": "77"}) as response:
        following = events(response)
        next(following)
        event = next(following)
    assert (event["event"], event["id"], event["data"]["incidents"]) == ("resync", "2", [])


def test_a_comment_comes_while_nothing_changes(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "HEARTBEAT_S", 0.01)
    with httpx.stream("GET", address + URL, timeout=TIMEOUT_S) as response:
        following = events(response)
        next(following)
        assert next(following) == {"comment": "no change"}


def test_nothing_is_left_of_a_reader_that_went_away(address: str, changes: Changes) -> None:
    """Also without a change or heartbeat that would fail to be sent."""
    for _ in range(3):
        with httpx.stream("GET", address + URL, timeout=TIMEOUT_S) as response:
            following = events(response)
            next(following)
            wait(lambda: changes.subscribers == 1)
        wait(lambda: changes.subscribers == 0)


def test_a_reader_that_does_not_read_holds_up_nobody(address: str, changes: Changes) -> None:
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.sendall(f"GET {URL} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        wait(lambda: changes.subscribers == 1)
        with httpx.stream("GET", address + URL, timeout=TIMEOUT_S) as response:
            following = events(response)
            next(following)
            wait(lambda: changes.subscribers == 2)
            for position in range(1, 2000):
                changes.publish(Change(position, frozenset({f"incident-{position}"})))
            last = 0
            while last < 1999:
                last = int(next(following)["id"])
        wait(lambda: changes.subscribers == 1)
    wait(lambda: changes.subscribers == 0)


def test_streams_end_with_the_server(empty_read_model: Engine) -> None:
    changes = Changes()
    with served(app_of(empty_read_model, changes=changes)) as address:
        client = httpx.Client(timeout=TIMEOUT_S)
        response = client.send(client.build_request("GET", address + URL), stream=True)
        following = events(response)
        next(following)
        wait(lambda: changes.subscribers == 1)
    assert list(following) == []
    client.close()


def test_open_streams_are_counted(empty_read_model: Engine) -> None:
    changes, metrics = Changes(), BoardMetrics()

    def streams() -> float | None:
        return metrics.registry.get_sample_value("sla_board_streams")

    with served(app_of(empty_read_model, changes=changes, metrics=metrics)) as address:
        with httpx.stream("GET", address + URL, timeout=TIMEOUT_S) as response:
            following = events(response)
            next(following)
            assert streams() == 1
        wait(lambda: streams() == 0)


def test_there_is_a_limit_to_streams(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "MOST_STREAMS", 0)
    answer = httpx.get(address + URL, timeout=TIMEOUT_S)
    assert answer.status_code == 503
    assert "event streams are open" in answer.json()["detail"]


def test_one_reader_does_not_take_all_streams(empty_read_model: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "MOST_OF_ONE", 1)
    with served(app_of(empty_read_model)) as address, httpx.stream("GET", address + URL, timeout=TIMEOUT_S) as response:
        following = events(response)
        next(following)
        answer = httpx.get(address + URL, timeout=TIMEOUT_S)
        assert answer.status_code == 503
        assert "1 of your event streams are open" in answer.json()["detail"]
        monkeypatch.setattr("board.api.changes.reader_of", lambda _: "person lee")
        with httpx.stream("GET", address + URL, timeout=TIMEOUT_S) as other:
            assert other.status_code == 200
