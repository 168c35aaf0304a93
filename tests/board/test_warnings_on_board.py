"""What is accepted and rarely meant: pages say it in the language of the person, the API in a field of its answers."""

from __future__ import annotations

import pytest
from acting import ActingBoard, hidden, signed_in
from page_client import shown

from connect.actions.person import Role

HTMX = {"HX-Request": "true"}
BEGUN = {
    "scope": "tenants",
    "tenant_ids": ["acme"],
    "components": ["api"],
    "start": "2026-11-20T11:00:00Z",
    "end": "2026-11-20T13:00:00Z",
}
LATE = "it was announced after its start, so it excludes no downtime"


def test_the_api_answers_warnings(board: ActingBoard) -> None:
    kim, bill = board.client("kim", Role.RESPONDER), board.client("bill", Role.BILLING)
    done = board.post(kim, "/maintenance/move/actions/schedule-maintenance", BEGUN).json()
    assert (done["outcome"], done["warnings"]) == ("accepted", [{"code": "window_late", "message": LATE}])
    ahead = board.post(bill, "/tenants/acme/months/2099-01/claim").json()
    assert [each["code"] for each in ahead["warnings"]] == ["claim_ahead"]
    board.publisher.unread = True
    first = board.post(bill, "/tenants/acme/months/1999-01/claim")
    assert first.status_code == 202
    assert [each["code"] for each in first.json()["warnings"]] == ["claim_no_contract"]
    plain = board.post(bill, "/tenants/acme/months/2026-10/claim").json()
    assert plain["warnings"] == []


def test_an_import_is_warned_of_before_and_after(board: ActingBoard) -> None:
    bill = board.client("bill", Role.BILLING)
    head = "tenant_id,valid_from,plan,amount_minor,currency,emergency_member\n"
    body = {"terms": f"{head}acme,2026-01-01T00:00:00Z,goldem,7,USD,yes\n"}
    seen = board.post(bill, "/contracts/import", {**body, "dry_run": True}).json()
    expected = [{"code": "plan_unknown", "message": "plan goldem is no policy here"}]
    assert seen["warnings"] == expected
    done = board.post(bill, "/contracts/import", {**body, "digest": seen["digest"]}).json()
    assert done["warnings"] == expected


@pytest.mark.parametrize(
    ("language", "text"), [("en", LATE), ("ja", "開始後に告知されたため、停止時間は除外されません")]
)
def test_a_page_says_it_in_the_language_of_the_person(board: ActingBoard, language: str, text: str) -> None:
    kim = signed_in(board, "kim", Role.RESPONDER)
    sent = hidden(kim.get("/maintenance").text, "schedule-maintenance")
    form = {**sent, **BEGUN, "maintenance_id": "move"}
    done = kim.post(f"/maintenance?lang={language}", data=form, headers=HTMX)
    assert done.status_code == 200
    assert text in shown(done.text)
    assert 'class="note warning"' in done.text


@pytest.mark.parametrize("headers", [HTMX, {}])
def test_the_page_of_an_incident_says_it_with_and_without_scripts(board: ActingBoard, headers: dict[str, str]) -> None:
    kim = signed_in(board, "kim", Role.RESPONDER)
    page = kim.get("/incidents/hostile").text
    sent = hidden(page, "reclassify")
    form = {**sent, "scope": "tenants", "tenant_ids": "acme\nacne<b>"}
    done = kim.post("/incidents/hostile/actions/reclassify", data=form, headers=headers)
    assert done.status_code == 200, done.text
    assert "tenant acne<b> is without a contract" in shown(done.text)
    assert "acne<b>" not in done.text
    assert board.publisher.events[0]["type"] == "incident.reclassified"
