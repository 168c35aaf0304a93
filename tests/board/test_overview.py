"""The overview's figures against slow, simple computations over the same rows; its page."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from html import unescape
from math import ceil
from typing import Any

import pytest
from board_history import NOW
from fastapi.testclient import TestClient
from sqlalchemy import Connection, Engine, Table, select
from story import policies

from board.app import create_app
from board.queries import attainment, months, overview
from board.settings import BoardSettings
from board.store.tables import credit, incident, incident_tenant, tenant_month, verdict
from streams.settings import Settings
from streams.sla.instants import Month, month_of

PERIOD = [Month(f"2025-{n:02d}") for n in (11, 12)] + [Month(f"2026-{n:02d}") for n in range(1, 12)]
SUMMER = [Month("2026-06"), Month("2026-07")]


class Standing:
    """The instant of the history's end."""

    def now(self) -> int:
        return NOW


@pytest.fixture
def connection(read_model: Engine) -> Iterator[Connection]:
    with read_model.connect() as found:
        yield found


@pytest.fixture
def client(read_model: Engine) -> TestClient:
    app = create_app(
        read_model,
        BoardSettings(),
        kafka=Settings(),
        policies=policies(),
        time_source=Standing(),  # type: ignore[arg-type]
    )
    return TestClient(app, base_url="http://localhost")


def rows(connection: Connection, table: Table) -> list[Mapping[str, Any]]:
    return [dict(row) for row in connection.execute(select(table)).mappings()]


def verdicts(connection: Connection, period: Sequence[str], *, backfill: bool = False) -> list[Mapping[str, Any]]:
    return [
        row
        for row in rows(connection, verdict)
        if row["month"] in period and row["verdict"] in {"met", "breached"} and (backfill or not row["backfill"])
    ]


def slow_shares(found: Sequence[Mapping[str, Any]], key: str) -> dict[str, dict[str, tuple[int, int]]]:
    shares: dict[str, dict[str, tuple[int, int]]] = defaultdict(dict)
    for row in found:
        met, total = shares[row[key]].get(row["metric"], (0, 0))
        shares[row[key]][row["metric"]] = (met + (row["verdict"] == "met"), total + 1)
    return shares


def as_pairs(found: Sequence[attainment.AttainmentRow]) -> dict[str, dict[str, tuple[int, int]]]:
    return {row.key: {metric: (share.met, share.total) for metric, share in row.shares.items()} for row in found}


@pytest.mark.parametrize("period", [PERIOD, SUMMER])
def test_shares_are_those_of_counting(connection: Connection, period: list[Month]) -> None:
    counted = verdicts(connection, period)
    assert counted
    assert as_pairs(attainment.attainment_by_severity(connection, period)) == slow_shares(counted, "severity")
    assert as_pairs(attainment.attainment_by_month(connection, period)) == slow_shares(counted, "month")
    named = defaultdict(set)
    for row in rows(connection, incident_tenant):
        named[row["incident_id"]].add(row["tenant_id"])
    by_tenant = [{**row, "tenant": tenant} for row in counted for tenant in named[row["incident_id"]]]
    found = attainment.attainment_by_tenant(connection, period)
    assert as_pairs(found) == slow_shares(by_tenant, "tenant")
    assert [row.breached for row in found] == sorted((row.breached for row in found), reverse=True)
    assert attainment.attainment_by_tenant(connection, period, limit=2) == found[:2]
    assert attainment.attainment_by_tenant(connection, period, limit=100) == found


def test_loaded_history_counts_only_if_it_is_asked_for(empty_read_model: Engine) -> None:
    values = {
        "metric": "response",
        "instance": 1,
        "verdict": "breached",
        "deadline": NOW,
        "at": NOW,
        "month": "2026-11",
        "severity": "P1",
        "component": "api",
        "scope": "platform",
        "tenant_ids": "[]",
    }
    with empty_read_model.begin() as connection:
        for name, loaded in (("a", False), ("b", True), ("c", True)):
            connection.execute(verdict.insert().values(incident_id=name, backfill=loaded, **values))
        without = attainment.attainment_by_severity(connection, ["2026-11"])
        with_history = attainment.attainment_by_severity(connection, ["2026-11"], backfill=True)
        assert [row.shares["response"].total for row in (*without, *with_history)] == [1, 3]
        counts = attainment.verdict_counts(connection, ["2026-11"])
        assert sum(one.total for one in counts if one.backfill) == 2
        connection.rollback()


def slow_durations(
    found: Sequence[Mapping[str, Any]], until: str, key: str, status: str | None
) -> dict[str, attainment.Durations]:
    took = defaultdict(list)
    for row in found:
        month = month_of(row["opened_at"], "UTC")
        if month in PERIOD and not row["backfill"] and row[until] is not None and status in {None, row["status"]}:
            took[month if key == "month" else row[key]].append(row[until] - row["opened_at"])
    return {
        name: attainment.Durations(
            len(each), sorted(each)[ceil(len(each) / 2) - 1], sorted(each)[ceil(len(each) * 9 / 10) - 1]
        )
        for name, each in took.items()
    }


@pytest.mark.parametrize("key", ["severity", "month"])
def test_times_are_those_of_sorting(connection: Connection, key: str) -> None:
    every = rows(connection, incident)
    query = attainment.times_by_severity if key == "severity" else attainment.times_by_month
    found = query(connection, PERIOD)
    none = attainment.NO_DURATIONS
    responses = slow_durations(every, "responded_at", key, None)
    ends = slow_durations(every, "ended_at", key, "resolved")
    assert {row.key: row.respond for row in found} == {row.key: responses.get(row.key, none) for row in found}
    assert {row.key: row.resolve for row in found} == {row.key: ends.get(row.key, none) for row in found}
    assert {row.key for row in found} == responses.keys() | ends.keys()
    assert [row.key for row in found] == sorted(row.key for row in found)


def test_open_incidents_are_counted_by_severity(connection: Connection) -> None:
    slow: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows(connection, incident):
        if row["status"] == "open":
            slow[row["severity"]].append(row)
    assert overview.open_by_severity(connection) == [
        overview.OpenRow(
            severity,
            len(each),
            sum(row["breached"] > 0 for row in each),
            min((row["next_deadline"] for row in each if row["next_deadline"] is not None), default=None),
        )
        for severity, each in sorted(slow.items())
    ]


def test_credits_add_up_by_month_and_currency(connection: Connection) -> None:
    sums: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for row in rows(connection, tenant_month):
        if row["credit_minor"] and row["month"] in PERIOD:
            total = sums[row["month"], row["currency"]]
            total[1 if row["status"] == "provisional" else 0] += row["credit_minor"]
            total[3] += 1
    for row in rows(connection, credit):
        sums[row["month"], row["currency"]][2] += row["amount_minor"]
    found = {
        (row.month, row.currency): [row.settled, row.provisional, row.issued, row.tenants]
        for row in overview.credits_by_month(connection, PERIOD)
    }
    assert found == sums
    assert found["2026-06", "USD"][2] == 100_000


def test_the_worst_lapses_are_the_most_severe_with_the_most_breaches(connection: Connection) -> None:
    breaches = defaultdict(list)
    for row in verdicts(connection, PERIOD):
        if row["verdict"] == "breached":
            breaches[row["incident_id"]].append(row)
    order = sorted(
        breaches, key=lambda name: (min(row["severity"] for row in breaches[name]), -len(breaches[name]), name)
    )
    found = overview.worst_lapses(connection, PERIOD)
    assert [row.incident_id for row in found] == order[:10]
    assert [row.breaches for row in found] == [len(breaches[name]) for name in order[:10]]
    every = {row.incident_id: row for row in overview.worst_lapses(connection, PERIOD, limit=1000)}
    # Opened 400 minutes ago, due after two hours, answered after 150 minutes.
    assert every["late-p1"].response_late == 30 * 60_000_000


def test_months_below_the_guarantee_are_all_of_them(connection: Connection) -> None:
    slow = [row for row in rows(connection, tenant_month) if not row["guarantee_met"] and row["month"] in SUMMER]
    found, total = months.months_below_guarantee(connection, SUMMER, limit=3)
    assert total == len(slow) > 3
    slow.sort(key=lambda row: (row["availability"], row["tenant_id"]))
    slow.sort(key=lambda row: row["month"], reverse=True)
    assert [(row.tenant_id, row.month) for row in found] == [(row["tenant_id"], row["month"]) for row in slow[:3]]


# -- the page --------------------------------------------------------------------------------------------------------


def test_the_page_shows_and_links_what_it_counts(client: TestClient, connection: Connection) -> None:
    page = unescape(client.get("/overview").text)
    for row in overview.open_by_severity(connection):
        assert f'href="/?severity={row.severity}"' in page
    for lapse in overview.worst_lapses(connection, PERIOD):
        assert f'href="/incidents/{lapse.incident_id}"' in page
    assert 'href="/tenants/acme/2026-10"' in page
    assert "2025-11 to 2026-11" in page
    assert "Updates in time" in page
    assert "Resolved in time" not in page  # no policy of this history guarantees a time to resolve
    assert "style=" not in page
    assert "<built-in" not in page


def test_one_month_can_be_chosen(client: TestClient) -> None:
    page = unescape(client.get("/overview?month=2026-06&lang=ja").text)
    assert "重大度別、2026-06" in page
    assert 'href="/tenants/acme/2026-06"' in page
    assert 'href="/tenants/acme/2026-10"' not in page


def test_an_empty_board_says_what_to_do(empty_read_model: Engine) -> None:
    app = create_app(empty_read_model, BoardSettings(), kafka=Settings(), policies=policies())
    page = TestClient(app, base_url="http://localhost").get("/overview").text
    assert "sla demo --keep" in page


def test_a_month_before_those_that_are_listed_can_be_chosen(client: TestClient) -> None:
    page = unescape(client.get("/overview?month=2025-10").text)
    assert "<option selected>2025-10</option>" in page
    assert "By severity, 2025-10" in page
    assert 'href="/overview?month=2025-11"' in page
    assert 'href="/overview?month=2025-10"' not in page


def test_what_is_not_a_month_is_ignored(client: TestClient) -> None:
    page = client.get("/overview", params={"month": "<script>", "backfill": "2"})
    assert page.status_code == 200
    assert "<script>" not in page.text.partition("<main")[2].partition('<script type="application/json"')[0]


def test_every_month_with_figures_can_be_chosen(client: TestClient, connection: Connection) -> None:
    known = {row.month for table in (verdict, tenant_month) for row in connection.execute(select(table.c.month))}
    page = client.get("/overview").text
    chooser = page[page.index('<select id="month"') :].partition("</select>")[0]
    assert re.findall(r"<option[^>]*>(\d{4}-\d{2})", chooser) == sorted(known, reverse=True)
    assert min(known) < min(overview.recent_months(connection, NOW, 13)), "one is older than what is shown first"
    assert client.get("/overview?month=").status_code == 200
