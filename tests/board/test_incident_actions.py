"""Forms of actions on the incident page: offers, previews, answers with and without scripts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from acting import ActingBoard, hidden, offered, signed_in
from board_history import MARKUP
from page_client import shown
from signed_in import browser, csrf_of
from sqlalchemy import Engine

from connect.actions.person import Role
from connect.client.errors import BrokerUnavailable

HTMX = {"HX-Request": "true"}


@pytest.fixture
def board(read_model: Engine, tmp_path: Path) -> Iterator[ActingBoard]:
    found = ActingBoard(read_model, tmp_path)
    yield found
    found.app.state.context.actions.close(2)


def test_offers_depend_on_the_person_and_the_state(board: ActingBoard) -> None:
    kim = signed_in(board, "kim", Role.RESPONDER)
    assert offered(browser(board.app).get("/incidents/open-p1").text) == set()
    assert offered(signed_in(board, "vera", Role.VIEWER).get("/incidents/open-p1").text) == set()
    at_open = offered(kim.get("/incidents/open-p1").text)
    assert {"respond", "update", "wait", "resolve", "merge", "link", "set-severity", "reclassify"} <= at_open
    assert not at_open & {"reopen", "end-wait", "annul"}
    at_waiting = offered(kim.get("/incidents/waiting").text)
    assert "end-wait" in at_waiting
    assert "respond" not in at_waiting  # somebody has
    assert offered(kim.get("/incidents/outage").text) == {"update", "reopen", "link"}
    assert offered(kim.get("/incidents/annulled").text) == {"update", "link"}
    pat = signed_in(board, "pat", Role.RESPONDER, tenants={"acme"})
    assert "resolve" in offered(pat.get("/incidents/waiting").text)
    assert pat.post("/incidents/late-p1/actions/respond").status_code == 403  # without the token of the session


def test_a_plain_post_leads_back_to_the_incident(board: ActingBoard) -> None:
    kim = signed_in(board, "kim", Role.RESPONDER)
    sent = hidden(kim.get("/incidents/open-p1").text, "respond")
    for _ in range(2):  # a double click
        answer = kim.post("/incidents/open-p1/actions/respond", data=sent)
        assert answer.status_code == 303
        assert answer.headers["location"] == "/incidents/open-p1"
    (event,) = board.publisher.events
    assert event["data"] == {"who": {"kind": "support", "id": "kim"}}
    assert kim.post("/incidents/open-p1/actions/respond", data={"action_id": "x"}).status_code == 403


def test_a_wrong_form_comes_back_as_it_was_filled(board: ActingBoard) -> None:
    kim = signed_in(board, "kim", Role.RESPONDER)
    sent = hidden(kim.get("/incidents/open-p1").text, "set-severity")
    answer = kim.post("/incidents/open-p1/actions/set-severity", data={**sent, "severity": "P9", "reason": MARKUP})
    assert answer.status_code == 422
    assert "P9" in answer.text
    assert MARKUP not in answer.text
    assert "&lt;script&gt;alert" in answer.text
    assert 'aria-invalid="true"' in answer.text
    assert "nothing was sent. Correct what is marked." in shown(answer.text)
    japanese = kim.post("/incidents/open-p1/actions/set-severity?lang=ja", data=sent)
    assert "示された箇所を修正してください。" in japanese.text
    assert board.publisher.events == []


def test_an_update_is_previewed_in_both_languages_and_then_sent(board: ActingBoard) -> None:
    kim = signed_in(board, "kim", Role.RESPONDER)
    sent = hidden(kim.get("/incidents/open-p1").text, "update")
    data = {**sent, "visibility": "public", "text": "We found <b>the</b> cause."}
    preview = kim.post("/incidents/open-p1/actions/update", data={**data, "preview": "1"}, headers=HTMX)
    assert preview.status_code == 200
    assert "<html" not in preview.text
    assert preview.text.count("We found &lt;b&gt;the&lt;/b&gt; cause.") == 3  # the field, and two languages
    assert '<blockquote lang="ja">' in preview.text
    assert board.publisher.events == []
    answer = kim.post("/incidents/open-p1/actions/update", data=data, headers=HTMX)
    assert "Send an update: the workers accepted it." in shown(answer.text)
    assert board.publisher.events[0]["data"]["text"] == "We found <b>the</b> cause."


def test_merging_shows_the_other_incident_first(board: ActingBoard) -> None:
    kim = signed_in(board, "kim", Role.RESPONDER)
    sent = {**hidden(kim.get("/incidents/waiting").text, "merge"), "into": "open-p1"}
    asked = kim.post("/incidents/waiting/actions/merge", data=sent, headers=HTMX)
    assert 'name="confirmed" value="open-p1"' in asked.text
    assert board.publisher.events == []
    other = kim.post("/incidents/waiting/actions/merge", data={**sent, "into": "by-hand", "confirmed": "open-p1"})
    assert 'name="confirmed" value="by-hand"' in other.text
    unknown = kim.post("/incidents/waiting/actions/merge", data={**sent, "into": "none"}, headers=HTMX)
    assert unknown.status_code == 422
    assert board.publisher.events == []
    kim.post("/incidents/waiting/actions/merge", data={**sent, "confirmed": "open-p1"}, headers=HTMX)
    assert board.publisher.events[0]["data"]["into"] == "open-p1"


def test_whoever_comes_second_is_told_and_keeps_the_form(board: ActingBoard) -> None:
    kim, lee = (signed_in(board, name, Role.RESPONDER) for name in ("kim", "lee"))
    page = lee.get("/incidents/open-p1").text
    kim.post("/incidents/open-p1/actions/respond", data=hidden(kim.get("/incidents/open-p1").text, "respond"))
    answer = lee.post(
        "/incidents/open-p1/actions/set-severity",
        data={**hidden(page, "set-severity"), "severity": "P2", "reason": "few users"},
        headers=HTMX,
    )
    assert answer.status_code == 409
    assert "by kim" in shown(answer.text)
    assert "few users" in answer.text
    assert '<option value="P2" selected>' in answer.text
    assert len(board.publisher.events) == 1


def test_times_are_in_the_zone_of_the_viewer(board: ActingBoard) -> None:
    kim = signed_in(board, "kim", Role.RESPONDER)
    sent = hidden(kim.get("/incidents/open-p1").text, "resolve")
    kim.cookies.set("board_zone", "Asia/Tokyo")
    answer = kim.post("/incidents/open-p1/actions/resolve", data={**sent, "restored_at": "2026-11-20T20:30"})
    assert answer.status_code == 303
    assert board.publisher.events[0]["data"]["restored_at"] == "2026-11-20T11:30:00Z"


def test_failures_say_what_to_do_and_keep_the_attempt(board: ActingBoard) -> None:
    kim = signed_in(board, "kim", Role.RESPONDER)
    sent = hidden(kim.get("/incidents/open-p1").text, "respond")
    board.publisher.failure = BrokerUnavailable("no Kafka broker answers")
    away = kim.post("/incidents/open-p1/actions/respond", data=sent, headers=HTMX)
    assert away.status_code == 503
    assert hidden(away.text, "respond")["action_id"] == sent["action_id"]
    board.publisher.failure, board.publisher.unread = None, True
    unread = kim.post("/incidents/open-p1/actions/respond", data=sent, headers=HTMX)
    assert unread.status_code == 202
    assert "no worker has read it yet" in shown(unread.text)
    board.publisher.unread, board.publisher.reject = False, ("too_late", "it is old")
    rejected = kim.post("/incidents/open-p1/actions/respond", data=sent, headers=HTMX)
    assert rejected.status_code == 422
    assert "too_late: it is old" in shown(rejected.text)
    assert hidden(rejected.text, "respond")["action_id"] != sent["action_id"]
    assert csrf_of(rejected.text)
