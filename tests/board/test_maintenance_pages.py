"""The pages of maintenance windows: the list, one window, and the forms that schedule, change and cancel."""

from __future__ import annotations

import re
from zoneinfo import ZoneInfo

import pytest
from acting import ActingBoard, hidden, offered, signed_in
from board_history import MARKUP, TENANTS
from page_client import shown
from signed_in import browser

from board.actions.form_views import entered_time
from connect.actions.person import Role
from streams.sla.instants import HOUR, parse_rfc3339

HTMX = {"HX-Request": "true"}
NEW = {
    "maintenance_id": "move",
    "scope": "tenants",
    "tenant_ids": ["acme", "globex"],
    "components": ["api", "ui"],
    "start": "2026-12-20T10:00",
    "end": "2026-12-20T12:00",
}


def options(html: str, action: str, field: str) -> list[str]:
    """The choices of a field."""
    select = re.search(rf'<select id="{action}-{field}".*?</select>', html)
    assert select is not None
    return re.findall(r'<option value="([^"]+)"', select[0])


def test_windows_stand_under_what_they_are(board: ActingBoard) -> None:
    nobody = browser(board.app)
    page = nobody.get("/maintenance").text
    assert re.findall(r'<h2 id="windows-(\w+)"|href="/maintenance/([^"]+)"', page) == [
        ("upcoming", ""), ("", "m-2"), ("past", ""), ("", "m-1"), ("cancelled", ""), ("", "m-3"),
    ]  # fmt: skip
    assert 'id="actions"' not in page
    assert 'id="actions"' not in nobody.get("/maintenance/m-2").text
    assert "予定" in nobody.get("/maintenance?lang=ja").text
    assert nobody.get("/maintenance/none").status_code == 404
    other = signed_in(board, "pat", Role.RESPONDER, tenants={"globex"})
    limited = other.get("/maintenance").text
    assert "m-2" not in limited  # it concerns acme
    assert "m-1" in limited
    assert other.get("/maintenance/m-2").status_code == 404
    assert options(limited, "schedule-maintenance", "tenant_ids") == ["globex"]
    assert 'id="actions"' not in other.get("/maintenance/m-1").text  # it concerns everybody


def test_a_window_is_scheduled(board: ActingBoard) -> None:
    kim = signed_in(board, "kim", Role.RESPONDER)
    page = kim.get("/maintenance").text
    assert offered(page) == {"schedule-maintenance"}
    assert options(page, "schedule-maintenance", "tenant_ids") == sorted(TENANTS)
    assert "api" in options(page, "schedule-maintenance", "components")
    sent = hidden(page, "schedule-maintenance")
    kim.cookies.set("board_zone", "Asia/Tokyo")
    answer = kim.post("/maintenance", data={**sent, **NEW})
    assert answer.status_code == 200
    assert "Schedule maintenance: the workers accepted it." in shown(answer.text)
    (event,) = board.publisher.events
    data = event["data"]
    assert isinstance(data, dict)
    assert (event["subject"], data["tenant_ids"], data["components"]) == ("move", ["acme", "globex"], ["api", "ui"])
    assert (data["start"], data["end"]) == ("2026-12-20T01:00:00Z", "2026-12-20T03:00:00Z")
    assert data["who"] == {"kind": "support", "id": "kim"}


def test_a_wrong_form_comes_back_as_it_was_filled(board: ActingBoard) -> None:
    kim = signed_in(board, "kim", Role.RESPONDER)
    sent = hidden(kim.get("/maintenance").text, "schedule-maintenance")
    for changed, message in (
        ({"maintenance_id": " "}, "is missing"),
        ({"maintenance_id": "m-2"}, "there is a window m-2 already"),
        ({"components": [MARKUP]}, "is not allowed"),
        ({"end": "2026-12-20T09:00"}, "is not after start"),
        ({"start": MARKUP}, "Start"),
    ):
        answer = kim.post("/maintenance", data={**sent, **NEW, **changed}, headers=HTMX)
        assert answer.status_code == 422, changed
        assert message in shown(answer.text), changed
        assert '<option value="globex" selected>' in answer.text
        assert MARKUP not in answer.text
    assert board.publisher.events == []
    assert kim.post("/maintenance", data=NEW).status_code == 403  # without the token of the session


@pytest.mark.parametrize(
    ("local", "problem", "written", "start"),
    [
        ("2026-10-25T02:30", "happens twice in Europe/Berlin", "2026-10-25T02:30:00+01:00", "2026-10-25T01:30:00Z"),
        ("2027-03-28T02:30", "there is no 2027-03-28T02:30:00 in", "2027-03-28T03:30:00+02:00", "2027-03-28T01:30:00Z"),
    ],
)
def test_a_local_time_that_a_change_of_clocks_repeats_or_skips_is_written_with_its_offset(
    board: ActingBoard, local: str, problem: str, written: str, start: str
) -> None:
    kim = signed_in(board, "kim", Role.RESPONDER)
    sent = {**hidden(kim.get("/maintenance").text, "schedule-maintenance"), **NEW, "end": "2027-04-20T10:00"}
    kim.cookies.set("board_zone", "Europe/Berlin")
    answer = kim.post("/maintenance", data={**sent, "start": local}, headers=HTMX)
    assert answer.status_code == 422
    assert problem in shown(answer.text)
    assert written in shown(answer.text)
    field = re.search(r'<input id="schedule-maintenance-start"[^>]*>', answer.text)
    assert field is not None
    assert "datetime-local" not in field[0]  # a browser takes no offset there
    assert board.publisher.events == []
    assert kim.post("/maintenance", data={**sent, "start": written}).status_code == 200
    data = board.publisher.events[0]["data"]
    assert isinstance(data, dict)
    assert data["start"] == start


def test_a_form_shows_a_time_that_a_field_for_local_times_cannot_have_with_its_offset() -> None:
    """It would be another instant, or be refused, when the form is sent back unchanged."""
    berlin = ZoneInfo("Europe/Berlin")
    second = parse_rfc3339("2026-10-25T01:30:00Z")
    assert entered_time(second, berlin) == "2026-10-25T02:30:00+01:00"
    assert entered_time(second + HOUR, berlin) == "2026-10-25T03:30:00"
    assert entered_time(second + HOUR + 1, berlin) == "2026-10-25T03:30:00.000001+01:00"


def test_a_window_is_changed_and_cancelled(board: ActingBoard) -> None:
    kim = signed_in(board, "kim", Role.RESPONDER)
    page = kim.get("/maintenance/m-2").text
    assert offered(page) == {"edit-maintenance", "cancel-maintenance"}
    assert '<option value="acme" selected>' in page
    assert 'value="2026-11-22T12:00:00"' in page
    sent = {**hidden(page, "edit-maintenance"), **NEW}
    changed = kim.post("/maintenance/m-2/edit", data=sent, headers=HTMX)
    assert "Change maintenance: the workers accepted it." in shown(changed.text)
    cancelled = kim.post("/maintenance/m-2/cancel", data=hidden(page, "cancel-maintenance"))
    assert '<h1><a href="/maintenance/m-2">' in cancelled.text
    assert "Cancel maintenance: the workers accepted it." in shown(cancelled.text)
    assert [event["type"] for event in board.publisher.events] == ["maintenance.scheduled", "maintenance.cancelled"]
    assert offered(kim.get("/maintenance/m-3").text) == {"edit-maintenance"}
    pat = signed_in(board, "pat", Role.RESPONDER, tenants={"globex"})
    token = hidden(pat.get("/maintenance").text, "schedule-maintenance")
    assert pat.post("/maintenance/m-2/cancel", data=token).status_code == 404
    assert pat.post("/maintenance/m-1/cancel", data=token).status_code == 403
    bill = signed_in(board, "bill", Role.BILLING)
    assert 'id="actions"' not in bill.get("/maintenance/m-2").text
    assert bill.post("/maintenance/m-2/cancel").status_code == 403
    assert len(board.publisher.events) == 2
