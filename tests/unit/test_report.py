"""`sla report` from records: highest revisions, breaches that stand, money and durations, and its files."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from board.reports.formats import CSV_COLUMNS, as_csv, as_html, as_json
from board.reports.report import Report, attainment_cells, duration_text, statement_cells
from board.reports.texts import report_phrases
from cli.main import app
from cli.reports.collect import Reporting
from cli.reports.erased_names import ErasedNames
from cli.reports.report import _months
from streams.csv_text import csv_text
from streams.money import formatted
from streams.settings import Settings
from streams.sla.erasure import Erasures
from streams.sla.instants import HOUR, MINUTE, SECOND, parse_rfc3339

KEY = b"a secret"
PSEUDONYM = Erasures(KEY).pseudonym("acme")


def money(amount: int, currency: str = "USD") -> dict[str, object]:
    return {"amount_minor": amount, "currency": currency}


def statement(tenant: str = "acme", month: str = "2026-01", revision: int = 1, **more: Any) -> dict[str, object]:
    currency = more.pop("currency", "USD")
    credit = more.pop("credit", 0)
    return {
        "tenant_id": tenant,
        "month": month,
        "revision": revision,
        "status": "final",
        "availability": {"numerator": 1, "denominator": 1, "percent": "99.950000"},
        "guarantee_met": True,
        "downtime_s": 0,
        "excluded_s": 0,
        "eligible_s": 744 * HOUR,
        "credit_percent": "0",
        "credit": money(credit, currency),
        "waived": money(0, currency),
        "claimable_until": None,
        "flags": [],
        "period": {"start": 0, "end": 0, "time_zone": "UTC"},
        **more,
    }


def breached(event_id: str = "b1", at: str = "2026-01-31T20:00:00Z", **more: object) -> dict[str, object]:
    return {
        "event_id": event_id,
        "occurred_at": parse_rfc3339(at),
        "scope": "platform",
        "tenant_ids": [],
        "severity": "P1",
        "metric": "update",
        "incident_id": f"inc-{event_id}",
        "instance": 1,
        "deadline": 1,
        "component": "api",
        "backfill": False,
        **more,
    }


def met(number: int, at: str, **more: object) -> dict[str, object]:
    return {**breached(f"m{number}", at), "met_at": parse_rfc3339(at), **more}


def retracted(event_id: str = "b1") -> dict[str, object]:
    return {**breached(event_id), "breach_id": event_id}


def issued(event_id: str, amount: int, month: str = "2026-01") -> dict[str, object]:
    return {"event_id": event_id, "tenant_id": "acme", "month": month, "amount": money(amount)}


def report(*records: tuple[str, dict[str, object]], tenant: str | None = None, month: str | None = None) -> Report:
    reporting = Reporting(tenant, None if month is None else [month])
    for number, (event_type, record) in enumerate(records):
        reporting.take(event_type, record, number * SECOND)
    return reporting.report()


def test_the_highest_revision_counts_whatever_comes_last() -> None:
    found = report(
        ("credit.statement", statement(revision=2, status="adjusted")),
        ("credit.statement", statement(revision=1)),
        ("credit.statement", statement("zen", revision=7)),
    )
    assert [(row.tenant, row.revision, row.status) for row in found.statements] == [
        ("acme", 2, "adjusted"),
        ("zen", 7, "final"),
    ]
    assert found.as_of == 2 * SECOND


def test_what_was_issued_adds_up_and_the_same_credit_counts_once() -> None:
    credits = [issued("c1", 500), issued("c2", 250), issued("c1", 500), issued("c3", 9, "2026-02")]
    found = report(("credit.statement", statement(credit=750)), *(("credit.issued", each) for each in credits))
    assert [row.issued_minor for row in found.statements] == [750]


@pytest.mark.parametrize("tenant", [None, "acme", PSEUDONYM])
def test_r29_a_month_of_an_erased_tenant_is_one_row_under_its_pseudonym(tenant: str | None) -> None:
    reporting = Reporting(tenant, names=ErasedNames(KEY))
    for number, (event_type, record) in enumerate(
        [
            ("credit.statement", statement(revision=1, credit=500)),
            ("credit.statement", statement(month="2025-12", credit=7)),
            ("credit.issued", issued("c1", 500)),
            ("credit.statement", statement(PSEUDONYM, revision=2, status="adjusted", credit=750)),
            ("credit.issued", {**issued("c2", 250), "tenant_id": PSEUDONYM}),
            ("sla.breached", breached("b1", scope="tenants", tenant_ids=["acme"])),
            ("sla.breached", breached("b2", scope="tenants", tenant_ids=["other", PSEUDONYM])),
            ("credit.statement", statement("acmf", revision=3) if tenant is None else statement("other")),
        ]
    ):
        reporting.take(event_type, record, number)
    found = reporting.report()
    rows = [(row.tenant, row.month, row.revision, row.credit_minor, row.issued_minor) for row in found.statements]
    assert [row for row in rows if row[0] == PSEUDONYM] == [
        (PSEUDONYM, "2025-12", 1, 7, 0),
        (PSEUDONYM, "2026-01", 2, 750, 750),
    ]
    assert {row[0] for row in rows} == ({PSEUDONYM, "acmf"} if tenant is None else {PSEUDONYM})
    assert sum(row.breaches for row in found.breaches) == 2


def test_r29_without_the_key_names_stay_as_they_were_published() -> None:
    found = report(("credit.statement", statement()), ("credit.statement", statement(PSEUDONYM, revision=2)))
    assert [row.tenant for row in found.statements] == ["acme", PSEUDONYM]


def test_breaches_that_were_retracted_do_not_count_and_those_told_again_do() -> None:
    first = ("sla.breached", breached())
    taken_back = ("sla.breach_retracted", retracted())
    assert report(first, taken_back).breaches == []
    assert [tuple(row) for row in report(first, taken_back, first).breaches] == [("2026-01", "P1", "update", 1)]


def test_breaches_are_counted_by_month_severity_and_metric() -> None:
    found = report(
        ("sla.breached", breached("1")),
        ("sla.breached", breached("2")),
        ("sla.breached", breached("3", metric="response")),
        ("sla.breached", breached("4", severity="P3")),
        ("sla.breached", breached("5", at="2026-02-01T00:00:00Z")),
        ("sla.warning", breached("6")),
    )
    assert [tuple(row) for row in found.breaches] == [
        ("2026-01", "P1", "response", 1),
        ("2026-01", "P1", "update", 2),
        ("2026-01", "P3", "update", 1),
        ("2026-02", "P1", "update", 1),
    ]


def test_a_tenant_sees_its_own_and_what_was_platform_wide_by_months_of_its_zone() -> None:
    tokyo = {"start": 0, "end": 0, "time_zone": "Asia/Tokyo"}
    found = report(
        ("credit.statement", statement("acme", period=tokyo)),
        ("credit.statement", statement("zen")),
        ("sla.breached", breached("1")),
        ("sla.breached", breached("2", scope="tenants", tenant_ids=["acme", "zen"])),
        ("sla.breached", breached("3", scope="tenants", tenant_ids=["zen"])),
        tenant="acme",
    )
    assert [row.tenant for row in found.statements] == ["acme"]
    assert [tuple(row) for row in found.breaches] == [("2026-02", "P1", "update", 2)]


def test_a_month_leaves_the_others_out() -> None:
    found = report(
        ("credit.statement", statement(month="2026-01")),
        ("credit.statement", statement(month="2026-02")),
        ("sla.breached", breached()),
        month="2026-02",
    )
    assert [row.month for row in found.statements] == ["2026-02"]
    assert found.breaches == []


@pytest.mark.parametrize(
    ("micros", "text"),
    [
        (0, "0"),
        (500_000, "0.5s"),
        (59 * SECOND, "59s"),
        (12 * MINUTE, "12m"),
        (12 * MINUTE + 30 * SECOND, "12m 30s"),
        (3 * HOUR + 12 * MINUTE + 59 * SECOND, "3h 12m"),
        (744 * HOUR, "744h 00m"),
    ],
)
def test_durations_for_people(micros: int, text: str) -> None:
    assert duration_text(micros) == text


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        (123_450, "USD", "$1,234.50"),
        (800_000, "JPY", "¥800,000"),
        (-5, "EUR", "-€0.05"),
        (1_234_567, "BHD", "BHD1,234.567"),
        (100, "IQD", "IQD0.100"),
        (12_345, "HUF", "HUF123.45"),
        (10**15 + 1, "USD", "$10,000,000,000,000.01"),
        (100, "ZZZ", "ZZZ1.00"),
    ],
)
def test_money_has_the_decimals_of_iso_4217(amount: int, currency: str, text: str) -> None:
    assert formatted(amount, currency).replace("\xa0", "") == text


def test_a_statement_for_people() -> None:
    told = statement(currency="JPY", credit=80_000, credit_percent="10", guarantee_met=False, downtime_s=3 * HOUR)
    (row,) = report(("credit.statement", told)).statements
    assert statement_cells(row, report_phrases("en")) == (
        "acme",
        "2026-01",
        "final, revision 1",
        "99.950000 %",
        "missed",
        "3h 00m",
        "¥80,000 (10 %)",
        "¥0",
    )


SAMPLE = report(
    ("credit.statement", statement("<acme> & co", guarantee_met=False, downtime_s=1_500_000, claimable_until=0)),
    ("sla.breached", breached()),
)


def test_json_has_seconds_and_minor_units() -> None:
    told = json.loads(as_json(SAMPLE))
    (row,) = told["statements"]
    assert row["downtime_s"] == 1.5
    assert row["guarantee_met"] is False
    assert row["claimable_until"] == "1970-01-01T00:00:00Z"
    assert told["breaches"] == [{"month": "2026-01", "severity": "P1", "metric": "update", "breaches": 1}]


def test_csv_has_the_same_columns_whatever_is_in_it() -> None:
    assert as_csv(report()) == ",".join(CSV_COLUMNS) + "\r\n"
    rows = list(csv.DictReader(io.StringIO(as_csv(SAMPLE))))
    assert [row["row"] for row in rows] == ["statement", "breaches", "attainment"]
    assert rows[0]["guarantee_met"] == "false"
    assert rows[1]["breaches"] == "1"
    assert (rows[2]["severity"], rows[2]["metric"], rows[2]["met"], rows[2]["total"]) == ("P1", "update", "0", "1")
    assert all(set(row) == set(CSV_COLUMNS) for row in rows)


def test_html_is_one_page_with_nothing_from_elsewhere() -> None:
    page = as_html(SAMPLE, "Report <x>")
    assert "&lt;acme&gt; &amp; co" in page
    assert "<title>Report &lt;x&gt;</title>" in page
    assert "<acme>" not in page
    for part in ('<html lang="en">', "<caption>", 'scope="col"', 'scope="row"', "prefers-color-scheme: dark"):
        assert part in page
    for outside in ("http", "src=", "<script", "@import", "url("):
        assert outside not in page
    assert "There is no statement yet." in as_html(report(), "Empty")


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "＝1"])
def test_no_cell_of_a_csv_begins_a_formula(text: str) -> None:
    written = csv_text(("name", "amount"), [{"name": text, "amount": -5}, {"name": "acme"}])
    (first, second) = csv.DictReader(io.StringIO(written, newline=""))
    assert first == {"name": f"'{text}", "amount": "-5"}
    assert second == {"name": "acme", "amount": ""}


def test_a_report_of_an_odd_tenant_is_safe_to_open() -> None:
    odd = SAMPLE.statements[0]._replace(tenant='=HYPERLINK("https://evil.example")')
    (row, *_) = csv.DictReader(io.StringIO(as_csv(SAMPLE._replace(statements=[odd])), newline=""))
    assert row["tenant"] == f"'{odd.tenant}"


def test_attainment_counts_the_clocks_met_of_those_that_ended() -> None:
    found = report(
        ("sla.met", met(1, "2026-01-10T00:00:00Z")),
        ("sla.met", met(2, "2026-01-11T00:00:00Z", metric="response")),
        ("sla.breached", breached("b1")),
        ("sla.breached", breached("b2")),
        ("sla.breach_retracted", retracted("b2")),
        ("sla.met", met(3, "2026-02-01T00:00:00Z")),
        ("sla.met", met(4, "2026-01-12T00:00:00Z", backfill=True)),
        month="2026-01",
    )
    (row,) = found.attainment
    assert {metric: (share.met, share.total) for metric, share in row.shares.items()} == {
        "response": (1, 1),
        "update": (1, 2),
    }
    assert attainment_cells(row, report_phrases("en")) == ("P1", "100.0 % (1 of 1)", "50.0 % (1 of 2)", "-")


def test_html_has_pictures_with_names() -> None:
    page = as_html(SAMPLE, "Report", Settings().load_policies())
    assert page.count('role="img"') == 2
    assert "Share of guaranteed times kept" in page


def test_a_quarter_is_three_months() -> None:
    records = [("credit.statement", statement(month=f"2026-{number:02d}")) for number in range(1, 7)]
    reporting = Reporting(None, _months(None, "2026-Q2"))
    for event_type, record in records:
        reporting.take(event_type, record, 0)
    assert [row.month for row in reporting.report().statements] == ["2026-04", "2026-05", "2026-06"]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ("--quarter 2026-Q5", "--quarter: expected a quarter such as 2026-Q1, got '2026-Q5'"),
        ("--quarter 2026-Q1 --month 2026-01", "--month and --quarter exclude each other; give one of them"),
        ("--customer --tenant acme", "--customer needs --tenant and --month"),
        ("--lang ja", "--lang applies only with --customer; add it"),
    ],
)
def test_options_that_contradict_are_explained(options: str, problem: str) -> None:
    ended = CliRunner().invoke(app, ["report", *options.split()])
    assert ended.exit_code == 2
    assert ended.output.startswith(problem)


@pytest.fixture
def sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.reports.report.read_report", lambda *_: SAMPLE)


@pytest.mark.usefixtures("sample")
@pytest.mark.parametrize("format_", ["table", "json", "csv", "html"])
def test_a_file_is_written_whole(format_: str, tmp_path: Path) -> None:
    file = tmp_path / "report"
    file.write_text("the one of yesterday", encoding="utf-8")
    ended = CliRunner().invoke(app, ["report", "--format", format_, "--output", str(file)])
    assert (ended.exit_code, ended.output) == (0, "")
    assert "<acme> & co" in file.read_text(encoding="utf-8").replace("&lt;acme&gt; &amp; co", "<acme> & co")
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.usefixtures("sample")
def test_exit_codes_for_a_schedule(tmp_path: Path) -> None:
    run = CliRunner().invoke
    assert run(app, ["report", "--json"]).exit_code == 0
    assert run(app, ["report", "--json", "--check"]).exit_code == 1
    absent = run(app, ["report", "--json", "--output", str(tmp_path / "absent" / "file")])
    assert absent.exit_code == 2
    assert "can't be written: No such file or directory" in absent.output


@pytest.mark.usefixtures("sample")
def test_a_report_without_statements_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelled tenant or month must not pass for one that kept its guarantee."""
    assert not CliRunner().invoke(app, ["report", "--json", "--month", "2026-01"]).stderr
    monkeypatch.setattr("cli.reports.report.read_report", lambda *_: SAMPLE._replace(statements=[]))
    words = ["report", "--json", "--tenant", "acmee", "--quarter", "2026-Q1"]
    assert CliRunner().invoke(app, words).exit_code == 0
    ended = CliRunner().invoke(app, [*words, "--check"])
    assert ended.exit_code == 1
    assert ended.stderr == ("warning: there is no statement of acmee for 2026-Q1; `sla credits list` lists all\n")
    json.loads(ended.stdout)
    assert not CliRunner().invoke(app, ["report", "--json"]).stderr
