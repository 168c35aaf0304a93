"""A board that is served for a browser, and the tabs that look at it."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from board_history import NOW
from board_rows import add_incident
from board_server import served
from playwright.sync_api import Browser, Page, expect, sync_playwright
from shipped import shipped_policies
from sqlalchemy import Engine, delete

from board.app import create_app
from board.changes import Change, Changes
from board.settings import BoardSettings
from board.store import tables
from board.store.engine import writing
from streams.settings import Settings
from streams.time_source import SystemTimeSource
from tests.waiting import TIMEOUT_S

MANY = 3_000
TIMEOUT_MS = int(TIMEOUT_S * 1_000)
#: The first without a window's interface, which the others draw for nobody: that takes a third of their processor time.
_NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")


@contextmanager
def started_chromium() -> Iterator[Browser]:
    """Debian's Chromium, headless; SLA_CHROMIUM names another executable. Skips the test where there is none."""
    path = os.environ.get("SLA_CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)
    if path is None:
        pytest.skip(
            f"no browser here: none of {', '.join(_NAMES)} is on the path; apt-get install {_NAMES[0]} brings one"
        )
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    expect.set_options(timeout=TIMEOUT_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        yield browser
        browser.close()


def take_picture(page: Page, name: str, *, full_page: bool = False) -> None:
    """A screenshot in the directory that SLA_SCREENSHOTS names; without it none, which would cost more than tests."""
    if directory := os.environ.get("SLA_SCREENSHOTS"):
        page.screenshot(path=Path(directory) / name, full_page=full_page)


class ShiftedTime:
    """A time source that showed `NOW` of the history when it was made, and goes on from there."""

    def __init__(self) -> None:
        self._system = SystemTimeSource()
        self._ahead = NOW - self._system.now()

    def now(self) -> int:
        return self._system.now() + self._ahead

    async def wait(self, event: asyncio.Event, until: int | None) -> None:
        raise AssertionError("no page waits")


@dataclass
class RunningBoard:
    """A board that is served: its address, and how a test changes what it shows."""

    address: str
    engine: Engine
    changes: Changes
    clock: ShiftedTime
    position: int = field(default=0)

    def change(self, *incident_ids: str, write: Callable[[Any], None]) -> None:
        """Write to the read model in one transaction and tell the open pages, as the ingest does."""
        with writing(self.engine).begin() as connection:
            write(connection)
        self.position += 1
        self.changes.publish(Change(self.position, incidents=frozenset(incident_ids)))


def add(board: RunningBoard, incident_id: str, **given: object) -> None:
    """Put an incident into the read model and onto the open pages."""
    board.change(incident_id, write=lambda connection: add_incident(connection, incident_id, **given))


def remove(board: RunningBoard, incident_id: str) -> None:
    """Take it away again, as tests share the board."""
    board.change(
        incident_id,
        write=lambda connection: connection.execute(
            delete(tables.incident).where(tables.incident.c.incident_id == incident_id)
        ),
    )


def board_app(engine: Engine, changes: Changes, clock: ShiftedTime) -> Any:
    """The application with the policies that are shipped."""
    return create_app(
        engine, BoardSettings(), kafka=Settings(), policies=shipped_policies(), time_source=clock, changes=changes
    )


@dataclass
class Viewport:
    """A tab, and what went wrong in it: errors on the console, refused content, failed requests."""

    page: Page
    problems: list[str] = field(default_factory=list)

    def watch(self) -> None:
        """Collect problems from now on."""
        self.page.on("pageerror", lambda error: self.problems.append(f"script: {error}"))
        self.page.on("dialog", lambda dialog: self.problems.append(f"dialog: {dialog.message}"))
        self.page.on(
            "console", lambda each: self.problems.append(f"console: {each.text}") if each.type == "error" else None
        )


def sign_in(page: Page, address: str, token: str, incident: str) -> None:
    """With the board's form, on the way to the page of an incident."""
    page.goto(f"{address}/sign-in?next=/incidents/{incident}")
    page.get_by_label("Token").fill(token)
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{address}/incidents/{incident}")
    page.wait_for_load_state()  # keys that come earlier may be lost


def running_board(engine: Engine) -> Iterator[RunningBoard]:
    """Serve a read model until the generator is closed."""
    changes, clock = Changes(), ShiftedTime()
    changes.publish(Change(0))
    with served(board_app(engine, changes, clock)) as address:
        yield RunningBoard(address, engine, changes, clock)
    engine.dispose()
