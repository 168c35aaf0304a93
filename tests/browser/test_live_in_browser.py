"""The live page in a real browser: countdowns, changes without a reload, keyboard, reconnection, thousands of rows."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from board_rows import add_incident
from board_server import served
from browser_board import MANY, RunningBoard, ShiftedTime, Viewport, add, board_app, remove
from playwright.sync_api import APIResponse, Page, Route, expect
from sqlalchemy import update

from board.changes import Changes
from board.pages.texts import board_phrases
from board.pages.urgency import Deadline
from board.store import tables
from board.store.engine import open_engine
from board.store.schema import upgrade
from cli.embedded_kafka.node_files import free_port
from streams.i18n.catalogues import Language
from streams.sla.instants import HOUR, MINUTE, SECOND

OpenTab = Callable[..., Viewport]

#: Counts the most rows that one task has put into the page. Observers of changes run at the end of each task.
ROWS_PUT = """
window.mostRowsPut = 0;
new MutationObserver((records) => {
  const added = records.flatMap((each) => [...each.addedNodes]).filter((each) => each instanceof Element);
  const rows = added.flatMap((each) => [each, ...each.querySelectorAll("*")]).filter((each) => "row" in each.dataset);
  window.mostRowsPut = Math.max(window.mostRowsPut, new Set(rows).size);
}).observe(document, { childList: true, subtree: true });
"""


def live(tab: Viewport) -> None:
    expect(tab.page.locator("#freshness")).to_have_text(re.compile("^(Live|更新中)$"))


def ids(page: Page) -> list[str]:
    return page.locator("#rows [data-row]").evaluate_all("(rows) => rows.map((row) => row.dataset.id)")


def mark(board: RunningBoard, incident_id: str, waiting: str | None) -> None:
    board.change(
        incident_id,
        write=lambda connection: connection.execute(
            update(tables.incident).where(tables.incident.c.incident_id == incident_id).values(waiting=waiting)
        ),
    )


def test_a_deadline_that_passed_months_ago_leaves_room_for_its_words(story_board: RunningBoard, tab: OpenTab) -> None:
    add(story_board, "browser-old", next_deadline=story_board.clock.now() - 1_500 * HOUR)
    page = tab().page
    page.goto(f"{story_board.address}/?q=browser-old")
    row = page.locator('[data-id="browser-old"]')
    expect(row.locator(".digits")).to_have_text(re.compile(r"^−1500:"))
    digits, words = row.locator(".digits").bounding_box(), row.locator(".words").bounding_box()
    assert digits is not None
    assert words is not None
    assert digits["x"] + digits["width"] <= words["x"]
    remove(story_board, "browser-old")


def test_a_page_without_scripts_does_not_say_that_it_connects(story_board: RunningBoard, tab: OpenTab) -> None:
    page = tab(java_script_enabled=False).page
    page.goto(story_board.address)
    expect(page.locator("main")).to_be_visible()
    expect(page.locator("#freshness")).to_be_hidden()


def test_countdowns_move_every_second(story_board: RunningBoard, tab: OpenTab) -> None:
    add(story_board, "browser-counted", next_deadline=story_board.clock.now() + 30 * MINUTE)
    page = tab().page
    page.goto(f"{story_board.address}/?q=browser-counted")
    digits = page.locator('[data-id="browser-counted"] .digits')
    expect(digits).to_have_text(re.compile(r"^\d+:\d\d$"))
    before = digits.inner_text()
    expect(digits).not_to_have_text(before)
    seconds = [int(text.split(":")[0]) * 60 + int(text.split(":")[1]) for text in (before, digits.inner_text())]
    assert seconds[0] > seconds[1]
    remove(story_board, "browser-counted")


def test_a_change_appears_by_one_request_without_reload(story_board: RunningBoard, tab: OpenTab) -> None:
    opened = tab()
    page = opened.page
    page.goto(story_board.address)
    live(opened)
    page.evaluate("window.notReloaded = true")
    total = int(page.locator(".total").inner_text())
    now = story_board.clock.now()
    # A new incident takes its place by deadline.
    add(story_board, "browser-new", summary="a fresh one", next_deadline=now + MINUTE, severity="P1")
    expect(page.locator("#rows [data-id=browser-new]")).to_be_visible()
    keys = page.locator("#rows [data-row]").evaluate_all("(rows) => rows.map((row) => Number(row.dataset.key) || 9e18)")
    assert keys == sorted(keys)
    expect(page.locator(".total")).to_have_text(str(total + 1))
    # Its breach appears: the page asks for that row alone, and once.
    requests: list[str] = []
    page.on("request", lambda request: requests.append(f"{request.method} {request.url.partition('?')[0]}"))
    story_board.change(
        "browser-new",
        write=lambda connection: connection.execute(
            update(tables.incident).where(tables.incident.c.incident_id == "browser-new").values(breached=1)
        ),
    )
    expect(page.locator("#rows [data-id=browser-new]")).to_contain_text("1 breach")
    assert requests == [f"POST {story_board.address}/live/changed"]
    # Once resolved it leaves the list of open incidents.
    remove(story_board, "browser-new")
    expect(page.locator("#rows [data-id=browser-new]")).to_have_count(0)
    expect(page.locator(".total")).to_have_text(str(total))
    assert page.evaluate("window.notReloaded")


def test_a_change_keeps_filter_and_selection(story_board: RunningBoard, tab: OpenTab) -> None:
    opened = tab()
    page = opened.page
    page.goto(f"{story_board.address}/?q=open-p1")
    live(opened)
    page.keyboard.press("j")
    add(story_board, "browser-other", next_deadline=story_board.clock.now() + MINUTE)
    mark(story_board, "open-p1", "third_party")
    expect(page.locator("[data-id=open-p1]")).to_contain_text("waiting for a third party")
    assert ids(page) == ["open-p1"]
    expect(page.locator("[data-id=open-p1][data-selected]")).to_have_count(1)
    remove(story_board, "browser-other")
    mark(story_board, "open-p1", None)


@pytest.mark.parametrize("path", ["/?q=open-p1", "/incidents/open-p1"])
def test_a_change_before_the_stream_is_connected_is_shown(story_board: RunningBoard, tab: OpenTab, path: str) -> None:
    page = tab().page

    def change_first(route: Route) -> None:
        mark(story_board, "open-p1", "third_party")
        route.continue_()

    page.route(re.compile("/live/changes"), change_first)
    page.goto(f"{story_board.address}{path}")
    expect(page.get_by_text("waiting for a third party")).to_have_count(1)
    mark(story_board, "open-p1", None)


def test_a_change_while_another_filter_is_loaded_is_shown(story_board: RunningBoard, tab: OpenTab) -> None:
    opened = tab()
    page = opened.page
    page.goto(story_board.address)
    live(opened)
    held: list[tuple[Route, APIResponse]] = []

    def change_meanwhile(route: Route) -> None:
        held.append((route, route.fetch()))
        mark(story_board, "open-p1", "third_party")

    page.route(re.compile(r"/\?.*q=open-p1"), change_meanwhile)
    with page.expect_response(re.compile("/live/changed")):
        page.locator("#search").fill("open-p1")
    for route, before in held:
        route.fulfill(response=before)
    expect(page.locator("#rows [data-row]")).to_have_count(1)
    expect(page.locator("[data-id=open-p1]")).to_contain_text("waiting for a third party")
    mark(story_board, "open-p1", None)


def test_filters_go_into_the_address_and_back(story_board: RunningBoard, tab: OpenTab) -> None:
    opened = tab()
    page = opened.page
    page.goto(story_board.address)
    page.get_by_label("P1").check()
    expect(page).to_have_url(re.compile(r"/\?severity=P1$"))
    page.locator("#search").fill("late")
    expect(page).to_have_url(re.compile(r"/\?severity=P1&q=late$"))
    expect(page.locator("#rows [data-row]")).to_have_count(1)
    assert ids(page) == ["late-p1"]
    page.reload()
    assert ids(page) == ["late-p1"]
    expect(page.locator("#search")).to_have_value("late")
    expect(page.get_by_label("P1")).to_be_checked()
    page.locator("#rows a").click()
    expect(page.locator("article.incident-page")).to_be_visible()
    page.go_back()
    expect(page.locator("#search")).to_have_value("late")
    assert ids(page) == ["late-p1"]
    live(opened)
    page.locator("#search").fill("nothing like this")
    expect(page.locator(".empty-title")).to_have_text("No incident matches these filters")


def test_the_keyboard_is_enough(story_board: RunningBoard, tab: OpenTab) -> None:
    page = tab().page
    page.goto(story_board.address)
    total = page.locator(".total").inner_text()
    page.keyboard.press("/")
    expect(page.locator("#search")).to_be_focused()
    page.keyboard.type("j")
    expect(page.locator("#search")).to_have_value("j")
    expect(page).to_have_url(re.compile(r"q=j$"))
    page.keyboard.press("Backspace")
    page.keyboard.press("Escape")
    expect(page).to_have_url(re.compile(r"/$"))
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("j")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page.locator(".total")).to_have_text(total)  # all rows are there again
    expected = ids(page)[1]
    for key in "jjkkjj":
        page.keyboard.press(key)
    selected = page.locator("[data-selected]")
    expect(selected).to_have_count(1)
    assert selected.get_attribute("data-id") == ids(page)[2]
    page.keyboard.press("k")
    assert selected.get_attribute("data-id") == expected
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(f"/incidents/{re.escape(quote(expected, safe=''))}$"))


def test_it_says_when_data_are_stale_and_catches_up(tmp_path: Path, tab: OpenTab) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/board.db")
    upgrade(engine)
    clock = ShiftedTime()
    opened = tab()
    page = opened.page
    port = free_port()  # none that an outgoing connection could have taken when it is needed again
    with served(board_app(engine, Changes(), clock), port) as address:
        page.goto(address)
        live(opened)
        expect(page.locator(".empty-title")).to_have_text("No incident is open")
    expect(page.locator("#freshness")).to_have_text(re.compile(r"Data are stale since \d\d:\d\d:\d\d"))
    with engine.begin() as connection:
        add_incident(connection, "meanwhile", next_deadline=clock.now() + HOUR)
    with served(board_app(engine, Changes(), clock), port):
        live(opened)
        expect(page.locator("#rows [data-id=meanwhile]")).to_be_visible()
        page.goto("about:blank")
    engine.dispose()
    # The browser reports every request that failed while the server was away.
    opened.problems = [each for each in opened.problems if not each.startswith("console: ")]


def most_rows_put(page: Page) -> int:
    """Since the last call."""
    return int(page.evaluate("() => { const most = window.mostRowsPut; window.mostRowsPut = 0; return most; }"))


def test_thousands_of_rows_scroll_and_filter_a_page_of_rows_at_a_time(large_board: RunningBoard, tab: OpenTab) -> None:
    """No task puts more than a hundred rows in place, however many there are, so none blocks the page for long."""
    opened = tab()
    page = opened.page
    page.add_init_script(ROWS_PUT)
    page.goto(large_board.address)
    live(opened)
    expect(page.locator(".total")).to_have_text(f"{MANY:,}")
    for _ in range(8):
        last = ids(page)[-1]
        page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
        page.wait_for_function(
            "(last) => [...document.querySelectorAll('#rows [data-row]')].at(-1).dataset.id !== last",
            arg=last,
            polling=20,
        )
    # The first rows have made way, so that a page that was scrolled far is as fast as a short one.
    assert (ids(page)[0], ids(page)[-1]) == ("inc-00300", "inc-00899")
    assert most_rows_put(page) == 100
    changed = [f"inc-{number:05}" for number in range(200, 1000, 5)]
    rows = tables.incident
    large_board.change(
        *changed,
        write=lambda connection: connection.execute(
            update(rows).where(rows.c.incident_id.in_(changed)).values(breached=rows.c.breached + 1)
        ),
    )
    expect(page.locator("[data-id=inc-00895]")).to_contain_text("breach")
    assert len(ids(page)) == 600
    assert most_rows_put(page) == 50
    page.evaluate("window.scrollTo(0, 0)")
    expect(page.get_by_text("Back to the nearest deadlines")).to_be_visible()
    page.locator("#search").fill("Incident 99")
    expect(page.locator(".total")).to_have_text("11")
    page.locator("#search").fill("")
    expect(page.locator(".total")).to_have_text(f"{MANY:,}")
    page.get_by_label("P3").check()
    expect(page.locator(".total")).to_have_text(f"{MANY // 4:,}")
    assert most_rows_put(page) == 100


def test_a_row_that_comes_twice_is_shown_once(large_board: RunningBoard, tab: OpenTab) -> None:
    opened = tab()
    page = opened.page
    page.goto(f"{large_board.address}/?q=Incident 1")
    live(opened)
    page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    page.wait_for_function("() => document.querySelectorAll('#rows [data-row]').length >= 200")
    with page.expect_response(re.compile("/live/changed")):
        large_board.change(*ids(page)[:50], write=lambda _: None)
    expect(page.locator("#rows .changed")).to_have_count(50)
    assert len(ids(page)) == len(set(ids(page)))


def test_times_are_in_the_zone_of_the_browser(story_board: RunningBoard, tab: OpenTab) -> None:
    page = tab(timezone_id="Asia/Tokyo").page
    page.goto(f"{story_board.address}/incidents/open-p1")
    expect(page.locator("html")).to_have_attribute("data-zone", "Asia/Tokyo")
    time_shown = page.locator("dd time").first
    expect(time_shown).to_have_text("2026-11-20 19:50:00")
    expect(time_shown).to_have_attribute("title", "2026-11-20 10:50:00 UTC")
    expect(page.locator(".zone")).to_have_text("Asia/Tokyo")


def test_the_page_of_an_incident_follows_its_changes(story_board: RunningBoard, tab: OpenTab) -> None:
    opened = tab()
    page = opened.page
    page.goto(f"{story_board.address}/incidents/inc-234")
    live(opened)
    page.evaluate("window.notReloaded = true")
    for waiting, shown in (("third_party", 1), (None, 0)):
        mark(story_board, "inc-234", waiting)
        expect(page.get_by_text("waiting for a third party")).to_have_count(shown)
    expect(page.locator(".due-panel .digits")).to_have_text(re.compile(r"^[\d:]+$"))
    assert page.evaluate("window.notReloaded")


@pytest.mark.parametrize("language", ["en", "ja"])
def test_the_browser_says_durations_and_urgency_as_the_server_does(
    story_board: RunningBoard, tab: OpenTab, language: Language
) -> None:
    page = tab().page
    page.goto(f"{story_board.address}/?lang={language}")
    module = page.locator("script[src$='/live.js']").get_attribute("src")
    assert module is not None
    countdown = module.replace("live.js", "countdown.js")
    seconds = [0, 1, 59, 60, 3599, 3600, 3661, 2 * 86400 - 1, 2 * 86400, 100 * 86400 + 7 * 3600]
    told = page.evaluate(
        "([address, seconds]) => import(address).then((each) => seconds.map((count) => each.words(count * 1000)))",
        [countdown, seconds],
    )
    assert told == [board_phrases(language).duration(count * SECOND) for count in seconds]
    due = Deadline("response", 1, False, 0, 100 * SECOND, (50 * SECOND, 75 * SECOND, 90 * SECOND))
    instants = [0, 49, 50, 89, 90, 99, 100, 101]
    told = page.evaluate(
        """([address, instants]) => import(address).then((each) => {
          const element = document.createElement("span");
          Object.assign(element.dataset, { until: 100000, since: 0, warn: "50000 75000 90000 " });
          return instants.map((second) => each.urgency(element, second * 1000));
        })""",
        [countdown, instants],
    )
    assert told == [due.urgency(second * SECOND) for second in instants]
