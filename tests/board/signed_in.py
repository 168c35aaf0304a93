"""Boards for tests of sign-in: people with tokens, a clock that moves, requests with their cookies."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from board_rows import NOW
from fastapi import FastAPI
from fastapi.testclient import TestClient
from shipped import shipped_policies
from sqlalchemy import Engine

from board.access.tokens import add_token
from board.app import create_app
from board.settings import BoardSettings, read_board_settings
from connect.actions.person import Person, Role
from streams.settings import Settings
from tests.unit.memory_clock import Stopped

HTML = {"Accept": "text/html"}


class MovingClock(Stopped):
    """Stands still until it is moved on."""

    def move(self, micros: int) -> None:
        self._now += micros


def board_settings(directory: Path, **given: Any) -> BoardSettings:
    """Settings of a board whose tokens file is in a directory of the test."""
    return read_board_settings(tokens=directory / "tokens.json", **given)


def access_app(engine: Engine, settings: BoardSettings, clock: MovingClock) -> FastAPI:
    return create_app(engine, settings, kafka=Settings(), policies=shipped_policies(), time_source=clock)


def browser(app: FastAPI, base_url: str = "http://127.0.0.1", **given: Any) -> TestClient:
    """A browser of its own: it keeps cookies, asks for pages, and does not follow redirects."""
    return TestClient(app, base_url=base_url, headers=HTML, follow_redirects=False, **given)


def token_of(settings: BoardSettings, identity: str, *roles: Role, tenants: set[str] | None = None) -> str:
    """A new token of a person."""
    limited = None if tenants is None else frozenset(tenants)
    return add_token(settings.tokens, Person(identity, identity.title(), frozenset(roles), limited), NOW)


def csrf_of(html: str) -> str:
    """The token that a page's forms carry; empty when they carry none."""
    found = re.search(r'name="csrf_token" value="([^"]+)"', html)
    return found[1] if found else ""
