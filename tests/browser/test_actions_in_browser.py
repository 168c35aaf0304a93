"""Acting in a real browser: from sign-in to an accepted update, by keyboard, accessible, on a phone, in the dark."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from acting import ActingBoard
from audit_topic import acted, audit_topic
from board_history import NOW
from board_server import served
from browser_board import RunningBoard, Viewport, sign_in, take_picture
from playwright.sync_api import expect
from replayed import ingest
from signed_in import token_of
from test_pages_in_browser import PHONE, STANDARDS, is_too_wide, problems_of_axe

from connect.actions.person import Role

OpenTab = Callable[..., Viewport]


def test_a_person_signs_in_previews_an_update_and_sends_it(
    story_board: RunningBoard, tab: OpenTab, tmp_path: Path
) -> None:
    board = ActingBoard(story_board.engine, tmp_path)
    opened = tab()
    page = opened.page
    with served(board.app) as address:
        sign_in(page, address, token_of(board.settings, "kim", Role.RESPONDER), "open-p1")
        update = page.locator("[data-action=update]")
        update.locator("summary").focus()
        page.keyboard.press("Enter")
        update.locator("select").select_option("public")
        update.locator("textarea").fill("We found <i>the</i> cause.")
        update.get_by_role("button", name="Preview").click()
        expect(page.locator(".previews blockquote[lang=ja]")).to_be_visible()
        expect(page.locator(".previews blockquote[lang=ja]")).to_contain_text("We found <i>the</i> cause.")
        assert problems_of_axe(page, STANDARDS) == []
        take_picture(page, "actions.png")
        assert board.publisher.events == []
        page.locator("[data-action=update] button.primary").click()
        expect(page.locator("#action-result")).to_contain_text("the workers accepted it")
        assert [each["type"] for each in board.publisher.events] == ["incident.updated"]
        page.wait_for_function("document.getElementById('actions').contains(document.activeElement)")
        phone = tab(viewport=PHONE, is_mobile=True, has_touch=True, color_scheme="dark", locale="ja-JP").page
        phone.context.add_cookies(page.context.cookies())
        phone.goto(f"{address}/incidents/open-p1")
        for summary in phone.locator("#actions summary").all():
            summary.click()
            assert not is_too_wide(phone)
        assert problems_of_axe(phone, ["color-contrast", "label", "button-name"]) == []
        take_picture(phone, "actions-phone-dark-ja.png")
    board.app.state.context.actions.close(2)


def test_forms_of_other_pages_are_accessible_and_work(
    story_board: RunningBoard, tab: OpenTab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("board.actions.present.topic_ends", lambda *_: {})
    board = ActingBoard(story_board.engine, tmp_path)
    opened = tab()
    page = opened.page
    with served(board.app) as address:
        sign_in(page, address, token_of(board.settings, "ada", Role.ADMIN), "open-p1")
        page.goto(f"{address}/rejected?code=four_eyes")
        reject = page.locator("[data-row] a").first.get_attribute("href")
        for path in ("/tenants/acme/2026-10", "/tenants/acme/2026-09", "/maintenance", "/maintenance/m-2", str(reject)):
            page.goto(f"{address}{path}")
            for summary in page.locator("#actions summary").all():
                summary.click()
                assert problems_of_axe(page, STANDARDS) == [], path
            assert page.locator("#actions form").count() > 0, path
            page.set_viewport_size(PHONE)
            assert not is_too_wide(page), path
            page.set_viewport_size({"width": 1280, "height": 800})
        events = [
            acted(f"a{n}", NOW + n, "resolve", "late-p1", outcome="moved", reason="revision 1 is 2 now")
            for n in range(3)
        ]
        events.append(acted("a4", NOW, "approve", "late-p1", outcome="refused", reason="expired", proposal_id="p1"))
        ingest(story_board.engine, audit_topic(events).records)
        page.goto(f"{address}/audit")
        assert problems_of_axe(page, STANDARDS) == []
        page.set_viewport_size(PHONE)
        assert not is_too_wide(page)
        page.set_viewport_size({"width": 1280, "height": 800})
        page.goto(f"{address}/tenants/acme")
        page.locator("#actions summary").click()
        page.locator("#actions textarea").fill("asked")
        assert problems_of_axe(page, STANDARDS) == []
        page.goto(f"{address}/tenants")
        page.get_by_role("link", name="Import contracts").click()
        head = "tenant_id,valid_from,plan,amount_minor,currency,emergency_member"
        file = f"{head}\ninitech9,2026-01-01T00:00:00Z,scalr-emergency,100,JPY,no\n".encode()
        page.locator("#file").set_input_files({"name": "terms.csv", "mimeType": "text/csv", "buffer": file})
        page.get_by_role("button", name="Show what changes").click()
        expect(page.locator("#difference")).to_be_visible()
        assert problems_of_axe(page, STANDARDS) == []
        page.set_viewport_size(PHONE)
        assert not is_too_wide(page)
        assert board.publisher.events == []
        page.get_by_role("button", name="Publish these changes").click()
        expect(page.get_by_role("status")).to_contain_text("the workers accepted it")
        assert [each["subject"] for each in board.publisher.events] == ["initech9"]
    board.app.state.context.actions.close(2)
