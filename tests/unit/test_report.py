"""`sla report` from records: highest revisions, breaches that stand, money and durations, and its files."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from cli.reports.collect import Report, Reporting, duration_text, statement_cells
from cli.reports.formats import CSV_COLUMNS, as_csv, as_html, as_json
from streams.csv_text import csv_text
from streams.money import formatted
from streams.sla.instants import HOUR, MINUTE, SECOND, parse_rfc3339


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
        **more,
    }


def issued(event_id: str, amount: int, month: str = "2026-01") -> dict[str, object]:
    return {"event_id": event_id, "tenant_id": "acme", "month": month, "amount": money(amount)}


def report(*records: tuple[str, dict[str, object]], tenant: str | None = None, month: str | None = None) -> Report:
    reporting = Reporting(tenant, month)
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


def test_breaches_that_were_retracted_do_not_count_and_those_told_again_do() -> None:
    first = ("sla.breached", breached())
    taken_back = ("sla.breach_retracted", {"breach_id": "b1"})
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
    assert statement_cells(row) == (
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
    assert [row["row"] for row in rows] == ["statement", "breaches"]
    assert rows[0]["guarantee_met"] == "false"
    assert rows[1]["breaches"] == "1"
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
