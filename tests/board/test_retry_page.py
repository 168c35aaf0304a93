"""The form of a rejected input's page that sends it again: as it was, corrected, and what is wrong with it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from acting import ActingBoard, hidden, offered, reject_of, signed_in
from page_client import shown
from signed_in import browser
from sqlalchemy import Engine

from board.store.engine import writing
from board.store.tables import reject
from connect.actions.person import Role
from connect.kafka_io.batches import SentRange
from streams.serde.input_records import InputRecord, input_record_from_json

HTMX = {"HX-Request": "true"}
PAGE = "/rejected/0/7"


@pytest.fixture
def board(empty_read_model: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ActingBoard]:
    row = {"rejected_at": 1, "code": "internal", "message": "<i>why</i>", "agent": "incidents", "headers": "[]"}
    of = {"original_topic": "incident-events", "original_partition": 0, "original_offset": 3}
    copy = {"original": reject_of().record.value}
    with writing(empty_read_model).begin() as connection:
        connection.execute(reject.insert(), {"partition": 0, "offset": 7, **row, **of, **copy})
        intake = {**of, "original_topic": "intake/desk", "original": b"x"}
        connection.execute(reject.insert(), {"partition": 0, "offset": 8, **row, **intake})
    found = ActingBoard(empty_read_model, tmp_path)
    monkeypatch.setattr("board.actions.present.rejected_at", lambda *_: reject_of())

    def send(settings: object, records: Any) -> list[SentRange]:
        found.publisher.events += [{"record": each} for each in records]
        return [SentRange("sla.incident-events", 0, 0, 1)]

    monkeypatch.setattr("connect.actions.service.send", send)
    yield found
    found.app.state.context.actions.close(2)


def entered(html: str) -> str:
    """What the field of the corrected event has."""
    area = re.search(r'<textarea [^>]*name="corrected"[^>]*>\n(.*?)</textarea>', html, re.DOTALL)
    assert area is not None
    return unescape(area[1])


def test_who_may_retry_finds_the_event_in_the_form(board: ActingBoard) -> None:
    kim = signed_in(board, "kim", Role.RESPONDER)
    page = kim.get(PAGE).text
    assert offered(page) == {"retry-rejected"}
    assert json.loads(entered(page))["subject"] == "inc-9"
    assert offered(kim.get("/rejected/0/8").text) == set()  # it never was in a topic
    sent = hidden(page, "retry-rejected")
    assert kim.post("/rejected/0/8/retry", data=sent).status_code == 404
    assert kim.post("/rejected/0/99/retry", data=sent).status_code == 404
    for other in (signed_in(board, "vera", Role.VIEWER, Role.BILLING), browser(board.app)):
        assert 'id="actions"' not in other.get(PAGE).text
        assert other.post(f"{PAGE}/retry", data=sent).status_code in {401, 403}
    assert board.publisher.events == []


def test_an_event_that_was_not_changed_is_sent_as_it_was(board: ActingBoard) -> None:
    kim = signed_in(board, "kim", Role.RESPONDER)
    page = kim.get(PAGE).text
    # Browsers send lines that end in CR LF.
    data = {**hidden(page, "retry-rejected"), "corrected": entered(page).replace("\n", "\r\n")}
    answer = kim.post(f"{PAGE}/retry", data=data)
    assert answer.status_code == 200
    assert f'<h1><a href="{PAGE}">' in answer.text
    assert "Retry a rejected input: the workers accepted it." in shown(answer.text)
    assert kim.post(f"{PAGE}/retry", data=data, headers=HTMX).status_code == 200  # a double click
    (sent,) = board.publisher.events
    assert sent["record"].value == reject_of().record.value


def test_a_corrected_event_is_sent_instead(board: ActingBoard) -> None:
    kim = signed_in(board, "kim", Role.RESPONDER)
    page = kim.get(PAGE).text
    event = json.loads(entered(page))
    event["data"]["impact"] = "complete_outage"
    text = json.dumps(event, indent=2)
    answer = kim.post(f"{PAGE}/retry", data={**hidden(page, "retry-rejected"), "corrected": text}, headers=HTMX)
    assert answer.status_code == 200, answer.text
    (sent,) = board.publisher.events
    ready = input_record_from_json(event)
    assert isinstance(ready, InputRecord)
    assert sent["record"].value == ready.value


@pytest.mark.parametrize(
    ("corrected", "expected"),
    [
        (
            '{\r\n  "id": "x",\r\n  <script>\r\n}',
            "not JSON: Expecting property name enclosed in double quotes at line 3, ",
        ),
        ('{"type": "incident.annulled"}', "incident.opened"),
        ("[" * 5000, "nested too deeply"),
    ],
)
def test_what_is_wrong_is_said_at_its_line(board: ActingBoard, corrected: str, expected: str) -> None:
    kim = signed_in(board, "kim", Role.RESPONDER)
    data = {**hidden(kim.get(PAGE).text, "retry-rejected"), "corrected": corrected}
    answer = kim.post(f"{PAGE}/retry", data=data, headers=HTMX)
    assert answer.status_code == 422
    assert expected in shown(answer.text)
    assert entered(answer.text).replace("\r\n", "\n") == corrected.replace("\r\n", "\n")
    assert "<script>" not in answer.text
    assert 'aria-invalid="true"' in answer.text
    assert board.publisher.events == []
