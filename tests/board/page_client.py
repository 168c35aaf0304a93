"""The board's pages over a read model at a given time, without a server."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

from fastapi import FastAPI
from fastapi.testclient import TestClient
from shipped import shipped_policies
from sqlalchemy import Engine

from board.app import create_app
from board.settings import BoardSettings
from streams.settings import Settings
from tests.unit.memory_clock import Stopped


def page_app(engine: Engine, now: int, **given: Any) -> FastAPI:
    """A board whose clock stands at `now`, with the policies that are shipped; `given` as `create_app` has it."""
    return create_app(
        engine, BoardSettings(), kafka=Settings(), policies=shipped_policies(), time_source=Stopped(now), **given
    )


def page_client(engine: Engine, now: int, **given: Any) -> TestClient:
    """Requests to a board as `page_app` makes it."""
    return TestClient(page_app(engine, now, **given), base_url="http://127.0.0.1")


def shown(html: str) -> str:
    """The text of a page without markup, blanks collapsed."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())
