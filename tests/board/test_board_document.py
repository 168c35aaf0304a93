"""docs/board.md and docs/sign-in.md: requests work as written, the tables name every setting and address."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

import pytest
from board_rows import app_of
from fastapi.testclient import TestClient
from sqlalchemy import Engine

from board.api.openapi import openapi_of
from board.settings import BoardSettings, read_board_settings

DOCUMENTS = Path(__file__).resolve().parents[2] / "docs"
TEXT = (DOCUMENTS / "board.md").read_text(encoding="utf-8")
SIGN_IN = (DOCUMENTS / "sign-in.md").read_text(encoding="utf-8")
ACTIONS = (DOCUMENTS / "actions.md").read_text(encoding="utf-8")
REQUESTS = re.findall(r"^curl '(http://127\.0\.0\.1:8090[^']*)'$", TEXT, re.MULTILINE)


@pytest.fixture(scope="module")
def client(read_model: Engine) -> TestClient:
    return TestClient(app_of(read_model), base_url="http://127.0.0.1:8090")


def test_requests_were_found() -> None:
    assert len(REQUESTS) >= 5


@pytest.mark.parametrize("url", REQUESTS)
def test_requests_work_as_written(client: TestClient, url: str) -> None:
    assert client.get(url).status_code == 200


def test_the_error_is_as_shown(client: TestClient) -> None:
    (url, shown) = re.findall(r"\$ curl '([^']*)'\n *(\{.*?)…", TEXT)[0]
    assert client.get(url).text.startswith(shown)


def test_the_tables_of_settings_are_complete() -> None:
    rows = re.findall(r"^\| `SLA_BOARD_([A-Z_]+)` \|(?:[^|]*\|)? (?:`([^`]*)`|none) \|", TEXT + SIGN_IN, re.MULTILINE)
    assert sorted(name.lower() for name, _ in rows) == sorted(BoardSettings.model_fields)
    defaults = read_board_settings(**{name.lower(): value for name, value in rows})
    assert defaults == BoardSettings.model_validate({})


def test_the_table_of_addresses_is_complete(read_model: Engine) -> None:
    named = re.findall(r"`(/api/v1/[^`]*|…/[^`]*)`", TEXT[TEXT.index("## The JSON API") :])
    full: set[str] = set()
    for each in named:
        path = unquote(each.partition("?")[0])
        full.add(path.replace("…", "/api/v1/tenants/{tenant_id}"))
    absent = set(openapi_of(app_of(read_model))["paths"]) - full
    in_actions = {"/api/v1" + each for each in re.findall(r"^\| `(/[^`]*)` \|", ACTIONS, re.MULTILINE)}
    names = re.findall(r"`([a-z-]+)`", ACTIONS[ACTIONS.index("## Addresses") : ACTIONS.index("## Answers")])
    for address in tuple(in_actions):
        in_actions |= {address.replace("ACTION", name) for name in names}
    assert sorted(absent - in_actions) == []
