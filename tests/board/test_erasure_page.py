"""The form of a tenant's page that erases the tenant."""

from __future__ import annotations

from acting import ActingBoard, hidden, offered, signed_in
from board_history import MARKUP
from page_client import shown

from connect.actions.person import Role

HTMX = {"HX-Request": "true"}
PAGE = "/tenants/acme"


def test_an_admin_types_the_id_again(board: ActingBoard) -> None:
    ada = signed_in(board, "ada", Role.ADMIN)
    page = ada.get(PAGE).text
    assert offered(page) == {"erase-tenant"}
    sent = hidden(page, "erase-tenant")
    for given in ({}, {"reason": MARKUP}, {"reason": MARKUP, "confirm_tenant": "globex"}):
        wrong = ada.post(f"{PAGE}/erase", data={**sent, **given}, headers=HTMX)
        assert wrong.status_code == 422
        assert 'aria-invalid="true"' in wrong.text
        assert MARKUP not in wrong.text
    assert board.publisher.events == []
    done = ada.post(f"{PAGE}/erase", data={**sent, "reason": "asked", "confirm_tenant": "acme"})
    assert done.status_code == 200
    assert ": the workers accepted it." in shown(done.text)
    assert offered(done.text) == set()
    (event,) = board.publisher.events
    assert (event["type"], event["subject"]) == ("tenant.erased", "acme")


def test_others_are_neither_offered_it_nor_let_through(board: ActingBoard) -> None:
    sent = {"reason": "asked", "confirm_tenant": "acme"}
    for roles in ((Role.BILLING, Role.RESPONDER), (Role.VIEWER,)):
        kim = signed_in(board, f"kim-{roles[0]}", *roles)
        assert 'id="actions"' not in kim.get(PAGE).text
        assert kim.post(f"{PAGE}/erase", data=sent).status_code == 403
    lou = signed_in(board, "lou", Role.ADMIN, tenants={"globex"})
    token = hidden(lou.get("/tenants/globex").text, "erase-tenant")
    assert lou.post(f"{PAGE}/erase", data={**token, **sent}).status_code == 404
    assert board.publisher.events == []
