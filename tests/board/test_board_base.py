"""What every page has: language, time zone, static files, escaping, error pages."""

from __future__ import annotations

import hashlib
import json
import re
from html import unescape
from zoneinfo import ZoneInfo

import pytest
from fastapi.testclient import TestClient
from jinja2 import UndefinedError

from board.pages.render import environment, rank, segment
from board.pages.texts import board_phrases
from board.static_files import DIRECTORY, static_files
from board.viewer import Viewer
from streams.sla.instants import DAY, HOUR, MINUTE, SECOND
from streams.sla.severity import SEVERITIES
from tests.board.sample_app import sample_app


@pytest.fixture
def client() -> TestClient:
    return TestClient(sample_app())


def test_vendored_files_are_those_whose_sums_were_recorded() -> None:
    vendored = DIRECTORY / "vendor"
    recorded = dict(reversed(line.split("  ")) for line in (vendored / "SHA256SUMS").read_text().splitlines())
    present = {
        path.relative_to(vendored).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in vendored.rglob("*")
        if path.is_file() and path.name != "SHA256SUMS"
    }
    assert recorded == present
    assert {path.parent for path in vendored.rglob("*.js")} == {path.parent for path in vendored.rglob("LICENSE")}


def test_static_files_are_cached_for_good_under_their_digest(client: TestClient) -> None:
    address = static_files().url("board.css")
    found = client.get(address)
    assert found.headers["content-type"] == "text/css; charset=utf-8"
    assert found.headers["cache-control"] == "public, max-age=31536000, immutable"
    former = client.get("/static/0123456789abcdef/board.css")
    assert (former.content, former.headers["cache-control"]) == (found.content, "no-cache")


@pytest.mark.parametrize("path", ["vendor/SHA256SUMS", "../static_files.py", "%2e%2e/static_files.py", "absent.css"])
def test_only_the_static_files_are_served(client: TestClient, path: str) -> None:
    assert client.get(f"/static/{static_files().digest}/{path}").status_code == 404


def test_modules_import_only_files_that_exist() -> None:
    for path in DIRECTORY.glob("*.js"):
        for name in re.findall(r'from "\./([^"]+)"', path.read_text(encoding="utf-8")):
            assert (DIRECTORY / name).is_file(), f"{path.name} imports {name}"


@pytest.mark.parametrize(
    ("query", "cookie", "header", "expected"),
    [
        ("", None, "", "en"),
        ("", None, "ja,en-US;q=0.9,en;q=0.8", "ja"),
        ("", None, "fr, en;q=0.5, ja;q=0.4", "en"),
        ("", None, "ja;q=hardly", "en"),
        ("", "ja", "en", "ja"),
        ("?lang=en", "ja", "ja", "en"),
        ("?lang=de", "ja", "en", "ja"),
    ],
)
def test_the_language_is_that_of_the_address_the_cookie_or_the_browser(
    client: TestClient, query: str, cookie: str | None, header: str, expected: str
) -> None:
    if cookie:
        client.cookies.set("board_lang", cookie)
    found = client.get(f"/errors/404/x{query}", headers={"Accept-Language": header})
    assert f'<html lang="{expected}"' in found.text
    assert ("set-cookie" in found.headers) == (query == "?lang=en")


def test_the_other_language_keeps_address_and_query(client: TestClient) -> None:
    found = client.get("/errors/404/a%2Fb%3Fc?q=1&q=%22%3E")
    assert 'href="/errors/404/a%2Fb%3Fc?q=1&amp;q=%22%3E&amp;lang=ja"' in found.text


def test_texts_of_the_request_are_escaped(client: TestClient) -> None:
    found = client.get("/errors/400/x", params={"detail": "<script>alert(1)</script>"})
    assert "<script>alert" not in found.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in found.text


@pytest.mark.parametrize("code", [400, 404, 500, 503])
@pytest.mark.parametrize("language", ["en", "ja"])
def test_error_pages_say_what_to_do(client: TestClient, code: int, language: str) -> None:
    found = client.get(f"/errors/{code}/x?lang={language}")
    assert found.status_code == code
    errors = board_phrases(language).errors  # type: ignore[arg-type]
    kind = {400: "invalid", 404: "not_found", 500: "internal", 503: "unavailable"}[code]
    assert errors[kind] in unescape(found.text)
    assert errors[f"{kind}_hint"] in unescape(found.text)


def test_no_page_has_inline_scripts_or_styles(client: TestClient) -> None:
    """The content security policy would stop them without a word."""
    text = client.get("/errors/404/x").text
    assert re.findall(r"<script(?![^>]*(?:\bsrc=|application/json))", text) == []
    assert re.findall(r"<style|\sstyle=|\son\w+=", text) == []


def test_texts_for_the_browser_are_json(client: TestClient) -> None:
    text = client.get("/errors/404/x?lang=ja").text
    found = re.search(r'id="texts">(.*?)</script>', text)
    assert found is not None
    assert json.loads(found[1])["in_time"] == "あと{time}"


@pytest.mark.parametrize(
    ("micros", "english", "japanese"),
    [
        (-5, "0 s", "0秒"),
        (59 * SECOND, "59 s", "59秒"),
        (12 * MINUTE + SECOND, "12 min", "12分"),
        (2 * HOUR + 5 * MINUTE, "2 h 05 min", "2時間05分"),
        (47 * HOUR, "47 h 00 min", "47時間00分"),
        (3 * DAY + 4 * HOUR, "3 d 4 h", "3日4時間"),
    ],
)
def test_durations_in_words(micros: int, english: str, japanese: str) -> None:
    assert [board_phrases(language).duration(micros) for language in ("en", "ja")] == [english, japanese]


def test_times_are_in_the_viewers_zone_and_utc_on_hover(client: TestClient) -> None:
    template = environment().from_string(
        "{{ at | instant }} {{ at | exact }} {{ at | second }} {{ at | day }} {{ at | relative(now) }}"
    )
    text = template.render(
        at=1_775_835_000_500_000,
        now=1_775_835_000_500_000 - 12 * MINUTE,
        viewer=Viewer("en", ZoneInfo("Asia/Tokyo")),
        common=board_phrases("en"),
    )
    assert re.findall(r">([^<]+)</time>", text) == [
        "2026-04-11 00:30",
        "2026-04-11 00:30:00.500000",
        "2026-04-11 00:30:00",
        "2026-04-11",
        "in 12 min",
    ]
    assert set(re.findall(r'<time datetime="([^"]+)" title="([^"]+)"', text)) == {
        ("2026-04-10T15:30:00Z", "2026-04-10 15:30:00.500000 UTC")
    }


def test_an_unknown_zone_is_utc(client: TestClient) -> None:
    for zone, expected in (("Asia/Tokyo", "Asia/Tokyo"), ("../etc/passwd", "UTC"), ("", "UTC")):
        client.cookies.set("board_zone", zone)
        assert f'data-zone="{expected}"' in client.get("/errors/404/x").text


def test_a_forgotten_value_is_an_error() -> None:
    with pytest.raises(UndefinedError):
        environment().from_string("{{ absent }}").render()


def test_any_id_is_one_segment_of_an_address() -> None:
    assert segment("a/b?c#d%e\"'é") == "a%2Fb%3Fc%23d%25e%22%27%C3%A9"


def test_severities_have_a_rank() -> None:
    assert [rank(severity) for severity in (*SEVERITIES, "unknown")] == list(range(1, len(SEVERITIES) + 2))
