"""`sla report` reads the topics, the board its read model: over one history, both give the same figures. The customer's
statement has the board's arithmetic and nothing internal."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape

import pytest
from board_history import NOW, story
from replayed import replayed
from sqlalchemy import Engine
from story import policies

from board.ingest.records import IngestRecord
from board.pages.month_view import month_view
from board.pages.tenant_texts import tenant_phrases
from board.queries.attainment import attainment_by_severity
from board.queries.months import tenant_months
from cli.reports.collect import Report, Reporting
from cli.reports.customer import CustomerStatement, customer_statement, statement_html, statement_text
from connect.kafka_io.reader import TopicRecord
from streams.i18n.catalogues import LANGUAGES, Language
from streams.serde.codec import decode
from streams.settings import Settings
from streams.sla.events import Rejection

QUARTER = ("2026-04", "2026-05", "2026-06")
TENANT = "acme"


@pytest.fixture(scope="module")
def records() -> list[IngestRecord]:
    return [each for each in replayed(story(), policies(), NOW) if each.topic in {"alerts", "credits"}]


def report(records: list[IngestRecord], tenant: str | None, months: tuple[str, ...]) -> Report:
    reporting = Reporting(tenant, months)
    for each in records:
        decoded = decode(each.value)
        assert not isinstance(decoded, Rejection)
        reporting.take(*decoded, each.timestamp)
    return reporting.report()


@pytest.mark.parametrize("months", [QUARTER, ("2026-07",)])
def test_attainment_is_that_of_the_board(
    records: list[IngestRecord], read_model: Engine, months: tuple[str, ...]
) -> None:
    with read_model.connect() as connection:
        expected = attainment_by_severity(connection, months)
    assert expected
    assert report(records, None, months).attainment == expected


def test_months_are_those_of_the_board(records: list[IngestRecord], read_model: Engine) -> None:
    with read_model.connect() as connection:
        expected = {row.month: row for row in tenant_months(connection, TENANT) if row.month in QUARTER}
    found = report(records, TENANT, QUARTER).statements
    assert [row.month for row in found] == sorted(expected)
    for row in found:
        same = expected[row.month]
        assert (row.downtime, row.availability_percent, row.credit_minor, row.revision) == (
            same.downtime,
            same.availability_percent,
            same.credit_minor,
            same.revision,
        )


@pytest.fixture
def statement(
    records: list[IngestRecord], read_model: Engine, monkeypatch: pytest.MonkeyPatch
) -> tuple[CustomerStatement, str]:
    """The statement of a month with downtime, and the month."""
    with read_model.connect() as connection:
        months = [row.month for row in tenant_months(connection, TENANT) if row.downtime and row.month < "2026-11"]

    def topic(*_: object) -> Iterator[TopicRecord]:
        for each in records:
            if each.topic == "credits":
                yield TopicRecord("sla.credits", each.partition, each.offset, each.timestamp, each.key, each.value, ())

    monkeypatch.setattr("cli.reports.customer.read_topics", topic)
    found = customer_statement(Settings(), policies(), TENANT, months[0])
    assert found is not None
    assert customer_statement(Settings(), policies(), TENANT, "1999-01") is None
    return found, months[0]


def test_the_arithmetic_is_that_of_the_board(statement: tuple[CustomerStatement, str], read_model: Engine) -> None:
    found, month = statement
    with read_model.connect() as connection:
        view = month_view(connection, policies(), TENANT, month)
    assert view is not None
    assert found.lines == view.lines


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_statement_shows_every_line_and_nothing_internal(
    statement: tuple[CustomerStatement, str], read_model: Engine, language: Language
) -> None:
    found, month = statement
    with read_model.connect() as connection:
        view = month_view(connection, policies(), TENANT, month)
    assert view is not None
    assert view.detail.evidence
    phrases = tenant_phrases(language)
    for shown in (statement_text(found, language), unescape(statement_html(found, language))):
        for line in found.lines:
            assert phrases.lines[line.name] in shown
            assert line.result in shown
        assert found.terms.digest not in shown
        for item in view.detail.evidence:
            assert not re.search(rf"\b{re.escape(item.id)}\b", shown) or item.id == TENANT
            assert f"{item.position.topic}/" not in shown
        for other in ("globex", "initech", "umbrella", "hooli"):
            assert other not in shown
    page = statement_html(found, language)
    assert page.startswith('<!doctype html>\n<html lang="' + language)
    for outside in ("http", "src=", "<script", "@import", "url("):
        assert outside not in page
