"""What runs in the background, in a real browser: a statement verified in place, a candidate policy over history."""

from __future__ import annotations

from collections.abc import Callable

from browser_board import RunningBoard, Viewport
from playwright.sync_api import expect

OpenTab = Callable[..., Viewport]


def test_a_statement_is_verified_in_place(story_board: RunningBoard, tab: OpenTab) -> None:
    page = tab().page
    page.goto(f"{story_board.address}/tenants/acme/2026-06")
    page.get_by_role("button", name="Verify from the log").click()
    state = page.locator("#verification-state")
    expect(state).to_contain_text("Verified: every term follows from the log")
    assert page.url.endswith("/tenants/acme/2026-06?revision=6#verification")
    expect(page.get_by_role("button", name="Verify again")).to_be_visible()


def test_a_candidate_runs_over_history(story_board: RunningBoard, tab: OpenTab) -> None:
    page = tab().page
    page.goto(f"{story_board.address}/policies/scalr-emergency/1")
    page.get_by_role("link", name="Try a changed version over history").click()
    editor = page.get_by_label("Candidate (YAML)")
    editor.fill(editor.input_value().replace("within: PT2H", "within: PT1H", 1))
    page.get_by_role("button", name="Run").click()
    page.wait_for_url("**/what-if/*")
    run = page.locator("#run")
    expect(run).to_contain_text("P1 response 2 h → 1 h")
    expect(run.get_by_role("link", name="Download CSV")).to_be_visible()
    expect(run.locator("tfoot")).to_contain_text("Total")
    assert run.get_attribute("hx-trigger") is None
