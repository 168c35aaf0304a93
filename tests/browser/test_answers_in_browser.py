"""Forms keep what was typed where the answer is no form: an ended session, a board or database that is away."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from acting import ActingBoard
from board_server import served
from browser_board import RunningBoard, Viewport, sign_in
from playwright.sync_api import Page, Route, expect
from signed_in import token_of

from connect.actions.person import Role

OpenTab = Callable[..., Viewport]
TEXT = "What took an hour to write."


def send(page: Page) -> None:
    page.locator("[data-action=update] button.primary").click()


def test_what_was_typed_stays_where_the_answer_is_no_form(
    story_board: RunningBoard, tab: OpenTab, tmp_path: Path
) -> None:
    board = ActingBoard(story_board.engine, tmp_path)
    opened = tab()
    page = opened.page
    with served(board.app) as address:
        sign_in(page, address, token_of(board.settings, "kim", Role.RESPONDER), "open-p1")
        update = page.locator("[data-action=update]")
        update.locator("summary").click()
        update.locator("select").select_option("internal")
        update.locator("textarea").fill(TEXT)

        def answered(status: int) -> Callable[[Route], None]:
            return lambda route: route.fulfill(status=status, content_type="text/html", body="<h1>Bad Gateway</h1>")

        for handler, told in ((answered(502), "502"), (lambda route: route.abort(), "no answer")):
            page.route("**/actions/update", handler)
            send(page)
            expect(page.locator("#action-result")).to_contain_text(told)
            expect(update.locator("textarea")).to_have_value(TEXT)
            page.unroute("**/actions/update")
        with page.context.expect_page():
            page.evaluate("window.open('/overview')")
        other = page.context.pages[-1]
        other.get_by_role("button", name="Sign out").click()
        expect(other.locator(".sign-out")).to_have_count(0)
        send(page)
        expect(page.locator("#action-result")).to_contain_text("Sign in first")
        expect(update.locator("textarea")).to_have_value(TEXT)
        assert board.publisher.events == []
    opened.problems.clear()  # the browser logs requests that fail
    board.app.state.context.actions.close(2)
