"""The page that imports contracts: what a file changes, hostile files, publication of what was shown."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from acting import ActingBoard, add_facts, signed_in
from board_history import MARKUP
from fastapi.testclient import TestClient
from page_client import shown
from signed_in import csrf_of
from sqlalchemy import Engine

from connect.actions.person import Role

PAGE = "/contracts/import"
HEAD = "tenant_id,valid_from,plan,amount_minor,currency,emergency_member"
#: acme's terms are those of `action_bench.terms`.
SAME = "acme,2026-01-01T00:00:00Z,scalr-emergency,500000,USD,yes"
DEARER = "acme,2026-10-01T00:00:00Z,scalr-emergency,700000,USD,yes"
NEW = "initech,2026-01-01T00:00:00Z,gold,100,JPY,no"


@pytest.fixture
def board(empty_read_model: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ActingBoard]:
    monkeypatch.setattr("board.actions.present.topic_ends", lambda *_: {})
    add_facts(empty_read_model)
    found = ActingBoard(empty_read_model, tmp_path)
    yield found
    found.app.state.context.actions.close(2)


def fields_of(html: str) -> dict[str, str]:
    """What the form of the page carries: hidden fields, and the text."""
    form = html[html.index('action="/contracts/import"') :]
    found = dict(re.findall(r'<input type="hidden" name="([a-z_]+)" value="([^"]*)"', form))
    return found | {"csrf_token": csrf_of(html)}


def send(client: TestClient, fields: dict[str, str], file: bytes | None = None) -> Any:
    """The form as browsers send it: as multipart, with an empty file where none is chosen."""
    return client.post(PAGE, data=fields, files={"file": ("contracts.csv" if file else "", file or b"")})


def test_what_was_shown_is_published(board: ActingBoard) -> None:
    bill = signed_in(board, "bill", Role.BILLING)
    assert 'href="/contracts/import"' in bill.get("/tenants").text
    start = fields_of(bill.get(PAGE).text)
    assert "digest" not in start
    text = "\n".join((HEAD, SAME, DEARER, NEW, SAME.replace("acme", "globex")))
    seen = send(bill, {**start, "preview": "1"}, text.encode())
    page = shown(seen.text)
    assert seen.status_code == 200
    assert "New tenants: 1. Tenants with other terms: 1. Lines without a change: 2." in page
    assert "Tenants that it does not name: 0." in page
    assert "Without a change: globex" in page
    assert "monthly charge: $5,000.00 (USD) → $7,000.00 (USD)" in page
    assert re.search(r"initech 4 New tenant .* There is no policy gold here", page)
    assert board.publisher.events == []
    done = send(bill, {**fields_of(seen.text), "terms": text.replace("\n", "\r\n")})
    assert done.status_code == 200
    assert "the workers accepted it." in shown(done.text)
    assert 'href="/tenants/initech"' in done.text
    assert [(each["subject"], each["type"]) for each in board.publisher.events] == [
        ("acme", "contract.set"),
        ("initech", "contract.set"),
    ]
    assert {each["data"]["who"]["id"] for each in board.publisher.events} == {"bill"}


def test_another_text_than_the_one_shown_is_not_published(board: ActingBoard) -> None:
    bill = signed_in(board, "bill", Role.BILLING)
    start = fields_of(bill.get(PAGE).text)
    seen = send(bill, {**start, "terms": f"{HEAD}\n{DEARER}"})
    other = send(bill, {**fields_of(seen.text), "terms": f"{HEAD}\n{NEW}"})
    assert other.status_code == 409
    assert "Nothing was published. Look at the new difference." in shown(other.text)
    assert fields_of(other.text)["digest"] != fields_of(seen.text)["digest"]
    assert board.publisher.events == []
    board.publisher.reject = ("invalid", "why")
    rejected = send(bill, {**fields_of(other.text), "terms": f"{HEAD}\n{NEW}"})
    assert rejected.status_code == 422
    assert "invalid: why" in shown(rejected.text)
    assert "initech" in rejected.text, "the text is there to be corrected"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (b"", "Choose a file, or paste the terms as text."),
        (b" \n", "Choose a file, or paste the terms as text."),
        ("契約".encode("cp932"), "The file is not UTF-8 at line 1."),
        (f"{HEAD}\n{SAME}".encode("utf-16"), "The file is not UTF-8 at line 1."),
        (f"{HEAD}\n{DEARER}\n".encode() + b"\xff", "The file is not UTF-8 at line 3."),
        (b"PK\x03\x04", "line 1: there is no column"),
        (
            f"{HEAD}\n\n{DEARER}\n{DEARER}".encode(),
            "line 4: valid_from: line 3 has terms of acme from the same",
        ),
        (f"{HEAD}\n=1+1,{NEW[8:]}".encode(), "line 2: tenant_id: is a formula of a spreadsheet"),
        (f"{HEAD}\n{NEW}\nac\0me,{NEW[8:]}".encode(), "line 3:"),
        (f"{HEAD}\n{NEW.replace('gold', MARKUP)}x".encode(), "line 2: emergency_member"),
        (f"{HEAD}\n".encode() + b"x" * 1_100_000, "bytes; at most 1,048,576 are allowed"),
        (b"[" * 100_000, "line 1: there is no column"),
        (b'{"a":' * 100_000, "line 1: not JSON"),
        (f"{HEAD}\n{SAME}".encode(), "all 1 terms are in force already"),
    ],
)
def test_a_file_without_terms_to_publish_is_refused_plainly(board: ActingBoard, given: bytes, told: str) -> None:
    bill = signed_in(board, "bill", Role.BILLING)
    answer = send(bill, {**fields_of(bill.get(PAGE).text), "preview": "1"}, given)
    assert answer.status_code in {200, 422}
    assert told in shown(answer.text), shown(answer.text)[-600:]
    assert MARKUP not in answer.text
    assert 'name="digest"' not in answer.text
    assert board.publisher.events == []


def test_a_form_that_is_too_large_is_refused(board: ActingBoard) -> None:
    bill = signed_in(board, "bill", Role.BILLING)
    assert send(bill, fields_of(bill.get(PAGE).text), b"x" * (8 * 1024 * 1024 + 1)).status_code == 413


def test_the_page_is_there_in_japanese_too(board: ActingBoard) -> None:
    bill = signed_in(board, "bill", Role.BILLING)
    start = fields_of(bill.get(f"{PAGE}?lang=ja").text)
    seen = shown(send(bill, {**start, "terms": f"{HEAD}\n{DEARER}\n{NEW}"}).text)
    for text in ("契約を取り込む", "新しいテナント: 1", "月額料金: $5,000.00", "ポリシー gold はありません"):
        assert text in seen
    wrong = shown(send(bill, {**start, "terms": f"{HEAD}\n=1+1,{NEW[8:]}"}).text)
    assert "2 行目: tenant_id: 表計算の数式です。値で保存してください" in wrong


def test_who_may_not_import_is_refused(board: ActingBoard) -> None:
    vera = signed_in(board, "vera", Role.VIEWER, Role.RESPONDER)
    assert 'href="/contracts/import"' not in vera.get("/tenants").text
    assert vera.get(PAGE).status_code == 403
    lou = signed_in(board, "lou", Role.BILLING, tenants={"globex"})
    start = fields_of(lou.get(PAGE).text)
    answer = send(lou, {**start, "terms": f"{HEAD}\n{DEARER}"})
    assert answer.status_code == 403
    own = send(lou, {**start, "terms": f"{HEAD}\n{DEARER.replace('acme', 'globex')}"})
    assert own.status_code == 200
    assert "Tenants that it does not name" not in shown(own.text)
    assert board.publisher.events == []


def test_many_lines_of_one_tenant_are_counted_and_all_published(board: ActingBoard) -> None:
    bill = signed_in(board, "bill", Role.BILLING)
    days = [
        f"{year}-{month:02}-{day:02}" for year in range(2030, 2035) for month in range(1, 13) for day in range(1, 21)
    ]
    text = "\n".join(
        (HEAD, *(f"acme,{day}T00:00:00Z,scalr-emergency,{index},USD,yes" for index, day in enumerate(days)))
    )
    seen = send(bill, {**fields_of(bill.get(PAGE).text), "preview": "1"}, text.encode())
    assert seen.status_code == 200
    assert seen.text.count('<th scope="row">acme</th>') == 1_000
    assert "Lines of these tenants that are not shown: 200. Publishing includes them." in shown(seen.text)
    assert "表示していないこれらのテナントの行: 200。" in shown(
        send(bill, {**fields_of(bill.get(f"{PAGE}?lang=ja").text), "preview": "1"}, text.encode()).text
    )
    done = send(bill, fields_of(seen.text) | {"terms": text})
    assert done.status_code == 200, shown(done.text)
    assert len(board.publisher.events) == 1_200
