"""Every page in a real browser: accessible (axe-core), wide enough on a phone, dark, in Japanese, without errors."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from browser_board import RunningBoard, Viewport, add, remove, take_picture
from playwright.sync_api import Page, expect

OpenTab = Callable[..., Viewport]

VENDOR = Path(__file__).parent / "vendor"
AXE = (VENDOR / "axe-core" / "axe.min.js").read_text(encoding="utf-8")
#: WCAG 2.2, levels A and AA.
STANDARDS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
PHONE = {"width": 390, "height": 844}
#: Every page, with the name of its screenshot.
PAGES = {
    "live": "/",
    "live-ended": "/?status=any",
    "live-empty": "/?q=nothing+like+this",
    "incident": "/incidents/late-p1",
    "incident-by-hand": "/incidents/by-hand",
    "incident-hostile": "/incidents/hostile",
    "incident-merged": "/incidents/merged",
    "incident-unknown": "/incidents/unknown",
    "overview": "/overview",
    "tenants": "/tenants",
    "tenant": "/tenants/acme",
    "month": "/tenants/acme/2026-06",
    "month-so-far": "/tenants/globex/2026-11",
    "statement": "/tenants/acme/2026-06/statement",
    "overview-month": "/overview?month=2026-06",
    "policies": "/policies",
    "policy": "/policies/scalr-emergency/1",
    "policy-comparison": "/policies?old=scalr-emergency@1&new=scalr-emergency@1",
    "what-if": "/what-if",
    "rejected": "/rejected",
    "reject": "/rejected/{reject}",
    "system": "/system",
    "maintenance": "/maintenance",
    "proposals": "/proposals",
    "fleet-report": "/reports/fleet?quarter=2026-Q2",
    "fleet-report-empty": "/reports/fleet?quarter=1999-Q1",
}
MAY_FAIL = {"incident-unknown"}
#: Pages with other content in the page of the same kind: axe-core, which takes a second of a page, looks at that one.
SAME_KIND = {
    *("live-ended", "live-empty", "incident-by-hand", "incident-merged", "month-so-far", "overview-month"),
    *("policy-comparison", "fleet-report-empty"),
}
#: Contrast in the dark is that of the same styles in each of these.
SEEN_IN_THE_DARK = {
    *("live", "incident", "overview", "tenant", "month", "statement", "policy", "what-if", "reject", "maintenance"),
    *("proposals", "fleet-report"),
}
#: Heads of columns of one word that stand on several lines.
BROKEN_HEADS = """() => [...document.querySelectorAll("thead th")].map((head) => head.textContent.trim()).filter(
  (text, index) => {
    const head = document.querySelectorAll("thead th")[index], range = document.createRange();
    range.selectNodeContents(head);
    const lines = new Set([...range.getClientRects()].map((box) => Math.round(box.top)));
    return text.length > 1 && !/[\\s、・：（]/.test(text) && lines.size > 1;
  })"""
#: Tables that are stacked on a phone, and are scrolled nevertheless.
WIDE_STACKS = """() => [...document.querySelectorAll(".scroll:has(> .stacked)")].filter(
  (box) => box.scrollWidth > box.clientWidth).map((box) => box.getAttribute("aria-labelledby"))"""


@pytest.fixture(scope="module")
def addresses(story_board: RunningBoard) -> dict[str, str]:
    """The whole address of each page."""
    with story_board.engine.connect() as connection:
        found = connection.exec_driver_sql('SELECT partition, "offset" FROM reject ORDER BY rejected_at LIMIT 1').one()
    reject = "/".join(map(str, found))
    return {name: story_board.address + path.replace("{reject}", reject) for name, path in PAGES.items()}


def problems_of_axe(page: Page, only: list[str]) -> list[str]:
    """What axe-core finds by some standards, or by some rules: the rule, and where."""
    page.evaluate(AXE)
    found = page.evaluate("(only) => axe.run(document, { runOnly: only, resultTypes: ['violations'] })", only)
    return [
        f"{each['id']}: {node['target']} {node['failureSummary'][:300]}"
        for each in found["violations"]
        for node in each["nodes"][:3]
    ]


def is_too_wide(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"))


def visited(tab: Viewport, addresses: dict[str, str], query: str = "") -> Iterator[str]:
    """Each page in turn, once it has settled."""
    for name, address in addresses.items():
        whole = address + (("&" if "?" in address else "?") + query if query else "")
        answer = tab.page.goto(whole)
        assert answer is not None
        assert answer.ok or name in MAY_FAIL, f"{name}: {answer.status}"
        yield name
    tab.problems = [each for each in tab.problems if "status of 404" not in each]


def test_vendored_axe_is_the_one_whose_sum_was_recorded() -> None:
    recorded = dict(reversed(line.split("  ")) for line in (VENDOR / "SHA256SUMS").read_text().splitlines())
    present = {name: hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() for name in recorded}
    assert recorded == present
    assert {path.name for path in (VENDOR / "axe-core").iterdir()} == {"axe.min.js", "LICENSE"}


def test_every_page_is_accessible(story_board: RunningBoard, addresses: dict[str, str], tab: OpenTab) -> None:
    opened = tab()
    found = {}
    for name in visited(opened, {name: each for name, each in addresses.items() if name not in SAME_KIND}):
        found[name] = problems_of_axe(opened.page, STANDARDS)
        take_picture(opened.page, f"{name}.png")
    assert {name: problems for name, problems in found.items() if problems} == {}


def test_every_page_can_be_read_in_the_dark_and_in_japanese(addresses: dict[str, str], tab: OpenTab) -> None:
    opened = tab(color_scheme="dark", locale="ja-JP")
    found = {}
    for name in visited(opened, addresses):
        assert opened.page.locator("html").get_attribute("lang") == "ja"
        found[name] = []
        if name in SEEN_IN_THE_DARK:
            found[name] = problems_of_axe(opened.page, ["color-contrast", "label", "link-name", "button-name"])
        opened.page.set_viewport_size({"width": 800, "height": 900})
        found[name] += [f"the head {head} is broken within a word" for head in opened.page.evaluate(BROKEN_HEADS)]
        opened.page.set_viewport_size({"width": 1280, "height": 800})
        take_picture(opened.page, f"{name}-dark-ja.png")
    assert {name: problems for name, problems in found.items() if problems} == {}


def test_no_page_scrolls_sideways_on_a_phone(addresses: dict[str, str], tab: OpenTab) -> None:
    opened = tab(viewport=PHONE, device_scale_factor=2, is_mobile=True, has_touch=True)
    wide = []
    for name in visited(opened, addresses):
        if is_too_wide(opened.page):
            wide.append(name)
        wide += [f"{name}: {each}" for each in opened.page.evaluate(WIDE_STACKS)]
        take_picture(opened.page, f"{name}-phone.png")
    assert wide == []


def test_markup_in_ids_and_texts_runs_nowhere(story_board: RunningBoard, tab: OpenTab) -> None:
    hostile = ("<script>alert(1)</script>", "a/b", "..", "a?b#c", "'\"><img src=x onerror=alert(1)>", "日本語 /\\ id")
    opened = tab()
    for incident_id in hostile:
        add(
            story_board,
            incident_id,
            summary="<img src=x onerror=alert(1)>",
            next_deadline=story_board.clock.now(),
            data='{"policy":{"name":"scalr-emergency","version":"1","digest":"0"},"clocks":[]}',
        )
    for incident_id in hostile:
        opened.page.goto(story_board.address)
        opened.page.locator("#rows [data-row]").filter(has_text=incident_id).get_by_role("link").first.click()
        opened.page.wait_for_selector("article.incident-page")
        assert incident_id in opened.page.locator(".incident-head").inner_text()
        assert opened.page.locator("main img, main script").count() == 0
    for incident_id in hostile:
        remove(story_board, incident_id)


def test_the_first_visit_shows_times_in_the_zone_of_the_browser(story_board: RunningBoard, tab: OpenTab) -> None:
    page = tab(timezone_id="Asia/Tokyo").page
    loads: list[str] = []
    page.on("domcontentloaded", lambda each: loads.append(each.url))
    page.goto(f"{story_board.address}/incidents/open-p1")
    opened = page.locator("#main time[datetime='2026-11-20T10:50:00Z']").first
    expect(opened).to_contain_text("19:50:00")
    expect(page.locator("html")).to_have_attribute("data-zone", "Asia/Tokyo")
    expect(page.locator("html")).not_to_have_attribute("hidden", "")
    first = len(loads)
    page.goto(f"{story_board.address}/system")
    expect(page.locator("html")).to_have_attribute("data-zone", "Asia/Tokyo")
    assert len(loads) == first + 1  # no visit after the first loads a page twice


def test_all_pages_can_be_reached_on_a_phone(story_board: RunningBoard, tab: OpenTab) -> None:
    page = tab(viewport={"width": 360, "height": 740}).page
    page.goto(story_board.address)
    for link in page.locator("header nav a").all():
        box = link.bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 360
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_an_incident_with_a_long_id_is_no_wider_than_a_phone(story_board: RunningBoard, tab: OpenTab) -> None:
    incident = "x" * 200
    add(story_board, incident, tenant_ids=["W" * 200], title_en="", title_ja="")
    page = tab(viewport={"width": 360, "height": 740}).page
    page.goto(f"{story_board.address}/incidents/{incident}")
    assert not is_too_wide(page)
    remove(story_board, incident)


def test_the_overview_is_no_wider_than_a_small_phone(story_board: RunningBoard, tab: OpenTab) -> None:
    page = tab(viewport={"width": 320, "height": 640}).page
    page.goto(f"{story_board.address}/overview")
    assert not is_too_wide(page)
