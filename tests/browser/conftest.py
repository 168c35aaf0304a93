"""A board with a browser in front of it: Debian's Chromium, headless, driven by Playwright."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from board_history import NOW
from board_rows import add_incident
from browser_board import MANY, TIMEOUT_MS, RunningBoard, Viewport, running_board, started_chromium
from playwright.sync_api import Browser, BrowserContext
from story_model import story_model

from board.store.engine import open_engine, writing
from board.store.schema import upgrade
from streams.sla.instants import SECOND


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The browser that the tests of a module share. While it runs, its thread has a running event loop, so it ends
    before the tests of other modules begin."""
    with started_chromium() as browser:
        yield browser


@pytest.fixture
def tab(chromium: Browser) -> Iterator[Callable[..., Viewport]]:
    """Opens tabs: keywords are those of Playwright's `new_context`. Every test ends without problems in them."""
    contexts: list[BrowserContext] = []
    opened: list[Viewport] = []

    def open_tab(**options: Any) -> Viewport:
        given = {"viewport": {"width": 1280, "height": 800}, "locale": "en-GB", "timezone_id": "UTC", **options}
        contexts.append(chromium.new_context(**given))
        opened.append(Viewport(contexts[-1].new_page()))
        opened[-1].page.set_default_timeout(TIMEOUT_MS)
        opened[-1].watch()
        return opened[-1]

    yield open_tab
    problems = [problem for each in opened for problem in each.problems]
    for context in contexts:
        context.close()
    assert problems == []


@pytest.fixture(scope="session")
def story_board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBoard]:
    """A board of the history that all tests of the board use. Tests change incidents of their own only."""
    engine = story_model(tmp_path_factory.mktemp("story") / "board.db")
    yield from running_board(engine)


@pytest.fixture(scope="session")
def large_board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBoard]:
    """A board with 3,000 open incidents."""
    engine = open_engine(f"sqlite:///{tmp_path_factory.mktemp('large')}/board.db")
    upgrade(engine)
    with writing(engine).begin() as connection:
        for number in range(MANY):
            name = f"inc-{number:05}"
            add_incident(
                connection,
                name,
                severity=("P1", "P2", "P3", "P4")[number % 4],
                summary=f"Incident {number} of many",
                component=("api", "ui", "auto_scaling")[number % 3],
                next_deadline=NOW + (number + 600) * SECOND,
                opened_at=NOW - number * SECOND,
            )
    yield from running_board(engine)
