"""Tenants, months, statements, breaches, attainment and overview as JSON, over a whole history."""

from __future__ import annotations

from typing import Any

import pytest
from board_history import TENANTS
from board_rows import app_of
from fastapi.testclient import TestClient
from sqlalchemy import Engine, func, select

from board.store import tables

API = "/api/v1"


@pytest.fixture(scope="module")
def client(read_model: Engine) -> TestClient:
    return TestClient(app_of(read_model), base_url="http://127.0.0.1")


def got(client: TestClient, path: str, **parameters: Any) -> Any:
    answer = client.get(f"{API}{path}", params=parameters)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_tenants_come_in_pages(client: TestClient) -> None:
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = got(client, "/tenants", limit=2, **cursor)
        assert page["total"] == len(TENANTS)
        seen += [each["tenant_id"] for each in page["tenants"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert sorted(seen) == sorted(TENANTS)
    assert [each["tenant_id"] for each in got(client, "/tenants", q="oo")["tenants"]] == ["hooli"]


def test_a_tenant_has_its_terms_and_its_latest_month(client: TestClient) -> None:
    shown = got(client, "/tenants/acme")
    assert [each["monthly_charge"] for each in shown["contracts"]] == [
        {"amount_minor": 100_000, "currency": "USD"},
        {"amount_minor": 150_000, "currency": "USD"},
    ]
    assert shown["latest_month"] == got(client, "/tenants/acme/months", limit=1)["months"][0]
    assert client.get(f"{API}/tenants/nobody").status_code == 404
    assert client.get(f"{API}/tenants/nobody/months").status_code == 404


def test_a_month_has_its_statement_with_all_revisions(client: TestClient, read_model: Engine) -> None:
    row = tables.statement
    with read_model.connect() as connection:
        key = (row.c.tenant_id, row.c.month)
        revised = connection.execute(select(*key).group_by(*key).having(func.count() > 1).limit(1)).one()
    shown = got(client, f"/tenants/{revised.tenant_id}/months/{revised.month}")
    numbers = [each["revision"] for each in shown["revisions"]]
    assert numbers == sorted(numbers)
    assert len(numbers) > 1
    assert shown["latest"] == shown["revisions"][-1]
    statement = shown["latest"]["statement"]
    assert (statement["tenant_id"], statement["month"]) == (revised.tenant_id, revised.month)
    listed = {each["month"]: each for each in got(client, f"/tenants/{revised.tenant_id}/months", limit=200)["months"]}
    month = listed[revised.month]
    assert month["revision"] == shown["latest"]["revision"]
    assert month["credit"] == statement["credit"]
    assert month["downtime_s"] == statement["downtime_s"]
    assert month["availability_percent"] == statement["availability"]["percent"]
    assert client.get(f"{API}/tenants/{revised.tenant_id}/months/1999-01").status_code == 404
    assert client.get(f"{API}/tenants/{revised.tenant_id}/months/2026-13").status_code == 400


def test_breaches_of_a_month_are_those_of_its_incidents(client: TestClient, read_model: Engine) -> None:
    with read_model.connect() as connection:
        late = connection.execute(
            select(tables.verdict).where(
                tables.verdict.c.incident_id == "late-p1", tables.verdict.c.verdict == "breached"
            )
        ).all()
        tenant = (
            connection.execute(
                select(tables.incident_tenant.c.tenant_id).where(tables.incident_tenant.c.incident_id == "late-p1")
            )
            .scalars()
            .first()
        )
    assert late
    month = late[0].month
    seen: list[tuple[str, str, int]] = []
    cursor: dict[str, str] = {}
    while True:
        page = got(client, f"/tenants/{tenant}/months/{month}/breaches", limit=3, **cursor)
        seen += [(each["incident_id"], each["metric"], each["instance"]) for each in page["breaches"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert len(seen) == len(set(seen))
    assert {(each.incident_id, each.metric, each.instance) for each in late if each.month == month} <= set(seen)
    assert got(client, f"/tenants/nobody/months/{month}/breaches")["breaches"] == [
        each
        for each in got(client, f"/tenants/{tenant}/months/{month}/breaches", limit=200)["breaches"]
        if each["scope"] == "platform"
    ]


@pytest.mark.parametrize("by", ["severity", "month", "tenant"])
def test_attainment_counts_every_verdict(client: TestClient, read_model: Engine, by: str) -> None:
    found = got(client, "/attainment", by=by, **{"from": "2025-10", "to": "2026-11", "backfill": "true"})
    assert found["months"][0] == "2025-10"
    assert len(found["months"]) == 14
    shares = [share for each in found["attainment"] for share in each["shares"].values()]
    assert all(0 <= share["met"] <= share["total"] for share in shares)
    if by != "tenant":
        with read_model.connect() as connection:
            judged = tables.verdict.c.verdict.in_(("met", "breached"))
            total = connection.execute(select(func.count()).select_from(tables.verdict).where(judged)).scalar_one()
        assert sum(share["total"] for share in shares) == total


@pytest.mark.parametrize(
    "given", [{"from": "2026-02", "to": "2026-01"}, {"from": "2020-01", "to": "2026-01"}, {"from": "2020-01"}]
)
def test_a_wrong_span_of_months_is_refused(client: TestClient, given: dict[str, str]) -> None:
    answer = client.get(f"{API}/attainment", params=given)
    assert answer.status_code == 400
    assert "allowed: 1 to 36 months" in answer.json()["detail"]


def test_a_span_without_a_first_month_begins_no_earlier_than_months_do(client: TestClient) -> None:
    assert got(client, "/attainment", to="1970-02")["months"] == ["1970-01", "1970-02"]


def test_the_overview_has_figures_that_agree_with_the_lists(client: TestClient) -> None:
    shown = got(client, "/overview", **{"from": "2025-10", "to": "2026-11"})
    opened = got(client, "/incidents", status="open", limit=200)["incidents"]
    assert {each["severity"]: each["open"] for each in shown["open_incidents"]} == {
        severity: sum(each["severity"] == severity for each in opened) for severity in {e["severity"] for e in opened}
    }
    assert shown["below_guarantee_total"] == len(shown["below_guarantee"])
    months = {
        (tenant, each["month"]): each
        for tenant in TENANTS
        for each in got(client, f"/tenants/{tenant}/months", limit=200)["months"]
    }
    assert {(each["tenant_id"], each["month"]["month"]) for each in shown["below_guarantee"]} == {
        key for key, each in months.items() if not each["guarantee_met"] and key[1] >= "2025-10"
    }
