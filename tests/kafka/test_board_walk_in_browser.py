"""A real board on a real broker and worker in a real browser: a night's incident, and a month that two people mend."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from billed_at_once import BILLED_AT_ONCE
from board_process import BoardProcess, contract, event, last_month, opened, publish, unique, until
from browser_board import TIMEOUT_MS, Viewport, started_chromium, take_picture
from playwright.sync_api import Page, expect

from connect.actions.person import Role
from streams.sla.instants import DAY, MINUTE
from streams.time_source import SystemTimeSource

pytestmark = pytest.mark.kafka

OpenTab = Callable[[], Viewport]


@pytest.fixture(scope="module")
def board(deployment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[BoardProcess]:
    with BoardProcess(tmp_path_factory.mktemp("board"), deployment) as running:
        yield running


@pytest.fixture
def tab() -> Iterator[OpenTab]:
    """Opens browsers of different people; nothing may go wrong in them."""
    opened_tabs: list[Viewport] = []
    with started_chromium() as chromium:

        def open_tab() -> Viewport:
            context = chromium.new_context(viewport={"width": 1280, "height": 800}, locale="en-GB", timezone_id="UTC")
            opened_tabs.append(Viewport(context.new_page()))
            opened_tabs[-1].page.set_default_timeout(TIMEOUT_MS)
            opened_tabs[-1].watch()
            return opened_tabs[-1]

        yield open_tab
    assert [problem for each in opened_tabs for problem in each.problems] == []


def send(lines: str, *options: str) -> None:
    """Publish from another thread: this one has the event loop of the browser."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(publish, lines, *options).result()


def sign_in(page: Page, board: BoardProcess, name: str) -> None:
    """From the first page."""
    page.goto(board.url)
    page.get_by_role("link", name="Sign in").click()
    page.get_by_label("Token").fill(board.token(name, Role.RESPONDER))
    page.keyboard.press("Enter")
    expect(page.locator(".person")).to_have_text(name.title())


def test_from_an_alarm_to_a_met_clock_and_from_a_proposal_to_a_changed_statement(
    board: BoardProcess, deployment: dict[str, str], tab: OpenTab, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in deployment.items():
        monkeypatch.setenv(name, value)
    tenant, drill, alarm = unique("acme"), unique("drill"), unique("alarm")
    month, began = last_month()
    history = [contract(tenant, BILLED_AT_ONCE), opened(drill, began, tenant)]
    send("\n".join([*history, event("incident.resolved", drill, began + 3 * DAY, {})]), "--backfill")

    # A monitor opens an incident while somebody looks at the first page.
    ann = tab().page
    sign_in(ann, board, "ann")
    send(opened(alarm, SystemTimeSource().now() - 5 * MINUTE, channel="monitor"))
    row = ann.locator(f"#rows [data-id={alarm}]")
    expect(row).to_be_visible()
    take_picture(ann, "walk-alarm.png")
    row.get_by_role("link").first.click()
    respond = ann.locator("[data-action=respond]")
    respond.locator("summary").click()
    respond.locator("button.primary").click()
    expect(ann.locator("#action-result")).to_contain_text("the workers accepted it")
    take_picture(ann, "walk-responded.png", full_page=True)
    expect(ann.locator("main")).to_contain_text("met")

    # What the month says, and who wants it changed.
    api = board.person("reader", Role.VIEWER)
    path = f"/api/v1/tenants/{tenant}/months"
    until(api, path, lambda found: any(each["status"] == "final" for each in found["months"]))
    ann.goto(f"{board.url}/tenants/{tenant}/{month}")
    expect(ann.locator(".head")).to_contain_text("final")
    ann.goto(f"{board.url}/incidents/{drill}")
    ann.get_by_role("link", name="Propose to annul").click()
    ann.locator("[data-action=annul] summary").click()
    ann.locator("[data-action=annul] textarea").fill("a drill")
    ann.locator("[data-action=annul] button.primary").click()
    expect(ann.locator("#proposal")).to_contain_text("Credits change by")
    expect(ann.get_by_role("button", name="Approve")).to_have_count(0)

    bob = tab().page
    sign_in(bob, board, "bob")
    bob.get_by_role("link", name="Proposals 1").click()
    bob.get_by_role("link", name="Annul").first.click()  # those that wait come first
    change = bob.locator("#effect ~ .body .large").inner_text()
    take_picture(bob, "walk-proposal.png", full_page=True)
    bob.get_by_role("button", name="Approve").click()
    expect(bob.locator("#proposal")).to_contain_text("It is in effect")
    until(api, path, lambda found: any(each["status"] == "adjusted" for each in found["months"]))
    bob.goto(f"{board.url}/tenants/{tenant}/{month}")
    expect(bob.locator(".head")).to_contain_text("adjusted")
    latest = bob.locator("[aria-labelledby=revisions] tbody tr").filter(has_text="adjusted")
    expect(latest).to_contain_text("$0.00")
    credit = change.partition("-")[2].strip("$ ")
    expect(latest).to_contain_text(f"${credit} → $0.00")
    take_picture(bob, "walk-month.png", full_page=True)
