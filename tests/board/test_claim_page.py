"""The claim of a credit on the month's page: who is offered it, until when, and what comes of it."""

from __future__ import annotations

from acting import ActingBoard, hidden, offered, signed_in
from page_client import shown
from signed_in import browser

from connect.actions.person import Role
from connect.client.errors import BrokerUnavailable

HTMX = {"HX-Request": "true"}
#: Of the history: a credit, none, one that could be claimed until 2026-11-03, and one that was claimed.
CREDIT, ZERO, LATE, CLAIMED = (f"/tenants/acme/2026-{month}" for month in ("10", "09", "08", "06"))


def test_only_billing_is_offered_a_claim_that_makes_sense(board: ActingBoard) -> None:
    bill = signed_in(board, "bill", Role.BILLING)
    page = bill.get(CREDIT).text
    assert offered(page) == {"claim-credit"}
    assert "It is $300.00 by the latest statement. It can be claimed until 2027-01-03 00:00 (UTC)." in shown(page)
    assert 'name="although_zero"' not in page
    assert 'name="although_zero"' in bill.get(ZERO).text
    late = bill.get(LATE).text
    assert offered(late) == set()
    assert "the credit of 2026-08 could be claimed until 2026-11-03T00:00:00Z" in shown(late)
    claimed = bill.get(CLAIMED).text
    assert offered(claimed) == set()
    assert "It was claimed at 2026-" in shown(claimed)
    assert offered(bill.get(f"{CREDIT}/statement").text) == set()
    assert offered(signed_in(board, "ada", Role.ADMIN).get(CREDIT).text) == {"claim-credit"}
    assert offered(signed_in(board, "pat", Role.BILLING, tenants={"acme"}).get(CREDIT).text) == {"claim-credit"}
    kim = signed_in(board, "kim", Role.RESPONDER, Role.VIEWER)
    for page in (kim.get(CREDIT).text, kim.get(CLAIMED).text, browser(board.app).get(CREDIT).text):
        assert 'id="actions"' not in page
    assert kim.post(f"{CREDIT}/claim", data=hidden(bill.get(CREDIT).text, "claim-credit")).status_code == 403
    foreign = signed_in(board, "lou", Role.BILLING, tenants={"globex"})
    sent = hidden(foreign.get("/tenants/globex/2026-10").text, "claim-credit")
    assert foreign.post(f"{CREDIT}/claim", data=sent).status_code == 404
    assert board.publisher.events == []


def test_a_claim_is_accepted_once_it_is_read_back(board: ActingBoard) -> None:
    bill = signed_in(board, "bill", Role.BILLING)
    sent = hidden(bill.get(CREDIT).text, "claim-credit")
    board.publisher.failure = BrokerUnavailable("no Kafka broker answers")
    away = bill.post(f"{CREDIT}/claim", data=sent, headers=HTMX)
    assert away.status_code == 503
    assert hidden(away.text, "claim-credit")["action_id"] == sent["action_id"]
    board.publisher.failure, board.publisher.unread = None, True
    unread = bill.post(f"{CREDIT}/claim", data=sent, headers=HTMX)
    assert unread.status_code == 202
    assert "no worker has read it yet" in shown(unread.text)
    board.publisher.unread = False
    done = bill.post(f"{CREDIT}/claim?lang=ja", data=sent, headers=HTMX)
    assert "<html" not in done.text
    assert "クレジットを請求する：ワーカーが受け付けました。" in shown(done.text)
    assert offered(done.text) == set()
    again = bill.post(f"{CREDIT}/claim?lang=en", data=sent)  # without scripts, and the same attempt
    assert again.status_code == 200
    assert '<h1><a href="/tenants/acme/2026-10">' in again.text
    assert "Claim a credit: the workers accepted it." in shown(again.text)
    assert {event["id"] for event in board.publisher.events} == {board.publisher.events[0]["id"]}
    assert board.publisher.events[0]["data"] == {
        "tenant_id": "acme",
        "month": "2026-10",
        "who": {"kind": "support", "id": "bill"},
    }


def test_refusals_say_why(board: ActingBoard) -> None:
    bill = signed_in(board, "bill", Role.BILLING)
    token = hidden(bill.get(ZERO).text, "claim-credit")
    zero = bill.post(f"{ZERO}/claim", data=token, headers=HTMX)
    assert zero.status_code == 422
    assert "the credit of 2026-09 for acme is $0.00 (revision 2, final); confirm to claim it" in shown(zero.text)
    late = bill.post(f"{LATE}/claim", data=token, headers=HTMX)
    assert late.status_code == 422
    assert "could be claimed until 2026-11-03T00:00:00Z" in shown(late.text)
    board.publisher.reject = ("claim_too_late", "<b>over</b>")
    rejected = bill.post(f"{ZERO}/claim", data={**token, "although_zero": "yes"}, headers=HTMX)
    assert rejected.status_code == 422
    assert "claim_too_late: &lt;b&gt;over&lt;/b&gt;" in rejected.text
    assert bill.post(f"{CREDIT}/claim", data={"action_id": "x"}).status_code == 403
    for wrong in ("/tenants/acme/2026-13/claim", "/tenants/acme/2026-10/more/claim"):
        assert bill.post(wrong, data=token).status_code == 404
