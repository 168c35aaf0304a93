"""`sla report` reads the topics, the board its read model: over one history, both give the same figures. The customer's
statement has the board's arithmetic and nothing internal."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from html import unescape

import pytest
from board_history import NOW, story
from page_client import page_client
from replayed import replayed
from sqlalchemy import Engine
from story import policies

from board.ingest.records import IngestRecord
from board.pages.month_view import month_view
from board.pages.tenant_texts import tenant_phrases
from board.queries.attainment import attainment_by_severity
from board.queries.months import tenant_months
from board.queries.reports import fleet_report, fleet_totals, tenant_report, totals_of
from board.reports.customer import CustomerStatement, statement_html, statement_json
from board.reports.formats import as_csv, as_json
from board.reports.quarters import quarter_months
from board.reports.report import BreachRow, Report
from board.reports.texts import report_phrases
from board.statement_csv import statement_csv
from board.store.engine import writing
from board.store.tables import verdict
from cli.reports.collect import Reporting
from cli.reports.customer import customer_statement, statement_text
from connect.kafka_io.reader import TopicRecord
from streams.i18n.catalogues import LANGUAGES, Language
from streams.serde.codec import decode
from streams.settings import Settings
from streams.sla.events import Rejection
from streams.sla.instants import Month, parse_rfc3339

QUARTER = ("2026-04", "2026-05", "2026-06")
TENANT = "acme"


@pytest.fixture(scope="module")
def records() -> list[IngestRecord]:
    return [each for each in replayed(story(), policies(), NOW) if each.topic in {"alerts", "credits"}]


def report(records: list[IngestRecord], tenant: str | None, months: Sequence[str]) -> Report:
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

    def topic(*_: object, **__: object) -> Iterator[TopicRecord]:
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


@pytest.mark.parametrize("quarter", ["2026-Q2", "2026-Q3", "1999-Q1"])
def test_a_quarter_of_all_tenants_is_that_of_the_board(
    records: list[IngestRecord], read_model: Engine, quarter: str
) -> None:
    months = quarter_months(quarter)
    assert months is not None
    expected = report(records, None, months)
    with read_model.connect() as connection:
        found = fleet_report(connection, months)
        lowest = fleet_report(connection, months, lowest=3)
        totals = fleet_totals(connection, months)
    assert found.statements == expected.statements
    assert found.breaches == expected.breaches
    assert found.attainment == expected.attainment
    by_availability = sorted(expected.statements, key=lambda row: (float(row.availability_percent), *row[:2]))
    assert lowest.statements == by_availability[:3]
    assert totals.statements == len(expected.statements)
    assert totals.missed == sum(not row.guarantee_met for row in expected.statements)
    for name in ("credit_minor", "issued_minor"):
        sums: Counter[str] = Counter()
        for row in expected.statements:
            sums[row.currency] += getattr(row, name)
        assert {each.currency: getattr(each, name) for each in totals.credits} == sums
    if quarter != "1999-Q1":
        assert expected.breaches
        assert any(row.credit_minor for row in expected.statements)


TENANTS = ("acme", "globex", "hooli", "initech", "umbrella", "nobody")


@pytest.mark.parametrize("tenant", TENANTS)
@pytest.mark.parametrize("quarter", ["2026-Q2", "2026-Q4"])
def test_a_quarter_of_one_tenant_is_that_of_the_board(
    records: list[IngestRecord], read_model: Engine, tenant: str, quarter: str
) -> None:
    months = quarter_months(quarter)
    assert months is not None
    expected = report(records, tenant, months)
    with read_model.connect() as connection:
        found = tenant_report(connection, tenant, months)
    assert found.statements == expected.statements
    assert found.breaches == expected.breaches
    assert found.attainment == expected.attainment
    assert (not found.statements) == (tenant == "nobody")
    assert found.breaches, "platform-wide incidents concern everybody"
    totals = totals_of(found)
    assert (totals.statements, totals.missed) == (
        len(expected.statements),
        sum(not row.guarantee_met for row in expected.statements),
    )
    assert sum(each.issued_minor for each in totals.credits) == sum(row.issued_minor for row in expected.statements)


def test_a_breach_behind_another_of_its_clock_counts(empty_read_model: Engine) -> None:
    """Two deadlines of one clock were breached and both stand; the table shows one."""
    months = (Month("2026-04"), Month("2026-05"), Month("2026-06"))
    fields = {
        "incident_id": "inc-1",
        "metric": "response",
        "instance": 1,
        "deadline": 10,
        "at": parse_rfc3339("2026-07-02T00:00:00Z"),
        "month": "2026-07",
        "verdict": "breached",
        "severity": "P2",
        "component": "api",
        "scope": "platform",
        "tenant_ids": "[]",
        "backfill": False,
    }
    hidden = [{"deadline": 5, "month": "2026-06", "severity": "P1"}, {"verdict": "met", "month": "2026-05"}]
    with writing(empty_read_model).begin() as connection:
        connection.execute(verdict.insert(), {**fields, "superseded": json.dumps(hidden)})
    with empty_read_model.connect() as connection:
        assert fleet_report(connection, months).breaches == [BreachRow("2026-06", "P1", "response", 1)]
        assert fleet_report(connection, (Month("2026-07"),)).breaches == [BreachRow("2026-07", "P2", "response", 1)]
        assert tenant_report(connection, "acme", (Month("2026-07"),)).breaches == [
            BreachRow("2026-07", "P1", "response", 1),  # both are of that instant here
            BreachRow("2026-07", "P2", "response", 1),
        ]


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_board_has_the_quarter_as_page_and_files(
    records: list[IngestRecord], read_model: Engine, language: Language
) -> None:
    client = page_client(read_model, NOW)
    months = quarter_months("2026-Q2")
    assert months is not None
    expected = report(records, None, months)
    page = client.get(f"/reports/fleet?quarter=2026-Q2&lang={language}")
    assert page.status_code == 200
    phrases = report_phrases(language)
    assert phrases.fleet_title.format(quarter="2026-Q2") in page.text
    assert page.text.count('role="img"') == 2
    for row in expected.statements[:3]:
        assert f'href="/tenants/{row.tenant}/{row.month}"' in page.text
    data = json.loads(client.get("/reports/fleet.json?quarter=2026-Q2").text)
    by_topics = json.loads(as_json(expected))
    assert {**data, "as_of": ""} == {**by_topics, "as_of": ""}
    assert client.get("/reports/fleet.csv?quarter=2026-Q2").text == as_csv(expected)
    file = client.get("/reports/fleet.html?quarter=2026-Q2")
    assert file.headers["content-disposition"] == 'attachment; filename="sla-report-2026-Q2.html"'
    assert file.text.startswith(f'<!doctype html>\n<html lang="{language}"')
    for outside in ("http", "src=", "<script", "@import", "url("):
        assert outside not in file.text


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_board_has_the_quarter_of_one_tenant_as_page_and_files(
    records: list[IngestRecord], read_model: Engine, language: Language
) -> None:
    client = page_client(read_model, NOW)
    months = quarter_months("2026-Q2")
    assert months is not None
    expected = report(records, TENANT, months)
    assert f'href="/tenants/{TENANT}/report"' in client.get(f"/tenants/{TENANT}").text
    page = client.get(f"/tenants/{TENANT}/report?quarter=2026-Q2&lang={language}")
    assert page.status_code == 200
    assert report_phrases(language).tenant_title.format(tenant=TENANT, quarter="2026-Q2") in page.text
    for row in expected.statements:
        assert f'href="/tenants/{TENANT}/{row.month}"' in page.text
    main = page.text[page.text.index("<main") :]
    assert not any(other in main for other in TENANTS if other != TENANT)
    assert f'href="/tenants/{TENANT}/report.csv?quarter=2026-Q2"' in page.text
    data = json.loads(client.get(f"/tenants/{TENANT}/report.json?quarter=2026-Q2").text)
    assert {**data, "as_of": ""} == {**json.loads(as_json(expected)), "as_of": ""}
    assert client.get(f"/tenants/{TENANT}/report.csv?quarter=2026-Q2").text == as_csv(expected)
    file = client.get(f"/tenants/{TENANT}/report.html?quarter=2026-Q2")
    assert file.headers["content-disposition"] == f'attachment; filename="sla-report-{TENANT}-2026-Q2.html"'
    assert client.get(f"/tenants/{TENANT}/report").status_code == 200
    assert client.get("/tenants/nobody/report").status_code == 404
    assert client.get("/tenants/nobody/report.csv?quarter=2026-Q2").status_code == 404


def test_a_quarter_that_is_none_is_explained(read_model: Engine) -> None:
    client = page_client(read_model, NOW)
    for address in (
        f"/tenants/{TENANT}/report?quarter=2026-5",
        f"/tenants/{TENANT}/report.json",
        "/reports/fleet?quarter=2026-Q5",
        "/reports/fleet.csv",
        "/reports/fleet.json?quarter=%3Cb%3E",
    ):
        answer = client.get(address)
        assert answer.status_code == 404
        assert "a quarter is written 2026-Q1" in answer.text
        assert "<b>" not in answer.text.partition("<main")[2]
    assert client.get("/reports/fleet").status_code == 200


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_board_gives_the_statement_for_the_customer(
    statement: tuple[CustomerStatement, str], read_model: Engine, language: Language
) -> None:
    found, month = statement
    client = page_client(read_model, NOW)
    address = f"/tenants/{TENANT}/{month}/customer"
    linked = client.get(f"/tenants/{TENANT}/{month}/statement?lang=en").text
    for kind in ("html", "csv", "json"):
        assert f'href="{address}.{kind}?revision={found.terms.revision}&amp;lang=en"' in linked
    page = client.get(f"{address}.html?lang={language}")
    assert page.text == statement_html(found, language)
    assert "attachment" in page.headers["content-disposition"]
    assert client.get(f"{address}.json").text == statement_json(found)
    assert client.get(f"{address}.csv").text == statement_csv(found.terms, found.lines)
    told = json.loads(statement_json(found))
    assert told["downtime_s"] * 1_000_000 == found.terms.downtime
    assert told["issued_minor"] == found.issued
    assert found.terms.digest not in statement_json(found) + statement_csv(found.terms, found.lines)
    assert client.get(f"/tenants/{TENANT}/1999-01/customer.html").status_code == 404
    assert client.get(f"{address}.json?revision=99").status_code == 404


def test_a_quarter_of_the_year_0_is_none() -> None:
    assert quarter_months("0001-Q1") == ("0001-01", "0001-02", "0001-03")
    assert quarter_months("0000-Q1") is None
