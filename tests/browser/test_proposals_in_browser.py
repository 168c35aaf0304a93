"""Proposals in a real browser: two people, followed without a reload, accessible, on a phone, in the dark."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from board_server import served
from browser_board import Viewport, sign_in, take_picture
from playwright.sync_api import expect
from proposing_board import Deployment
from test_pages_in_browser import PHONE, STANDARDS, is_too_wide, problems_of_axe

from board.changes import Change
from tests.waiting import TIMEOUT_S, wait

OpenTab = Callable[..., Viewport]


def test_one_person_proposes_and_another_approves(tab: OpenTab, tmp_path: Path) -> None:
    board = Deployment(tmp_path)
    effects = board.app.state.context.background.effects
    ann, bob = tab().page, tab().page
    with served(board.app) as address:
        sign_in(ann, address, board.token("ann"), "outage")
        ann.get_by_role("link", name="Propose to annul").click()
        ann.locator("[data-action=annul] summary").click()
        ann.locator("[data-action=annul] textarea").fill("a drill")
        assert problems_of_axe(ann, STANDARDS) == []
        take_picture(ann, "proposal-new.png")
        ann.locator("[data-action=annul] button.primary").click()
        expect(ann.locator("h1")).to_contain_text("is not recorded yet")
        board.turn()
        expect(ann.locator("h1")).to_contain_text("Annul")
        identity = ann.url.rpartition("/")[2].partition("?")[0]
        wait(lambda: effects.latest(identity) is not None)
        job = effects.latest(identity)
        assert job is not None
        assert effects.wait(job.id, TIMEOUT_S).status == "done"
        expect(ann.locator("#proposal")).to_contain_text("Credits change by")
        sign_in(bob, address, board.token("bob"), "outage")
        bob.get_by_role("link", name="Proposals 1").click()
        expect(bob).to_have_url(f"{address}/proposals")
        take_picture(bob, "proposals.png", full_page=True)
        assert problems_of_axe(bob, STANDARDS) == []
        bob.get_by_role("link", name="Annul").click()
        expect(bob).to_have_url(re.compile(f"/proposals/{identity}"))
        assert problems_of_axe(bob, STANDARDS) == []
        take_picture(bob, "proposal.png", full_page=True)
        phone = tab(viewport=PHONE, is_mobile=True, has_touch=True, color_scheme="dark", locale="ja-JP").page
        phone.context.add_cookies(bob.context.cookies())
        phone.goto(bob.url)
        assert not is_too_wide(phone)
        assert problems_of_axe(phone, ["color-contrast", "label", "button-name"]) == []
        take_picture(phone, "proposal-phone-dark-ja.png", full_page=True)
        expect(ann.locator("#freshness")).to_have_attribute("data-state", "live")
        ann.locator("#reason").fill("half a sentence")
        bob.get_by_role("button", name="Approve").click()
        expect(bob.locator("#proposal")).to_contain_text("Your decision is sent.")
        board.turn()
        expect(bob.locator("#proposal")).to_contain_text("It is in effect")
        expect(bob.locator("#open-proposals")).to_be_empty()
        take_picture(bob, "proposal-decided.png", full_page=True)
        board.app.state.context.changes.publish(Change(1, frozenset({"outage"})))
        expect(ann.locator("#proposal")).to_contain_text("It is in effect")  # nobody has touched ann's page
        assert [event["data"]["approver"]["id"] for event in board.sent] == ["bob"]
    effects.close()
    board.engine.dispose()
