"""Tenants and months: queries, pages, pictures, CSV; hostile ids and both languages."""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from urllib.parse import quote

import pytest
from board_history import NOW, START, TENANTS
from fastapi.testclient import TestClient
from page_client import page_client, shown
from replayed import ingest, replayed
from sqlalchemy import Connection, Engine, select
from story import contract, maintenance, opened, policies, resolved, texts

from board.app import create_app
from board.charts.bars import AvailabilityBar, availability_chart
from board.charts.strips import days_of
from board.pages.month_view import month_view
from board.queries import contracts, months
from board.queries.month_incidents import incidents_of_month
from board.settings import BoardSettings
from board.store.engine import open_engine
from board.store.schema import upgrade
from board.store.tables import incident, incident_tenant, statement, tenant_month
from streams.settings import Settings
from streams.sla.instants import DAY, HOUR, parse_rfc3339

HOSTILE = "<script>alert(1)</script>/=1+1"


@pytest.fixture
def connection(read_model: Engine) -> Iterator[Connection]:
    with read_model.connect() as found:
        yield found


def client_of(engine: Engine) -> TestClient:
    app = create_app(engine, BoardSettings(), kafka=Settings(), policies=policies())
    return TestClient(app, base_url="http://localhost")


@pytest.fixture
def client(read_model: Engine) -> TestClient:
    return client_of(read_model)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A tenant whose id is markup, a path and a formula."""
    engine = open_engine(f"sqlite:///{tmp_path_factory.mktemp('hostile')}/board.db")
    upgrade(engine)
    lines = [
        contract("2026-01-01T00:00:00Z", of=HOSTILE),
        maintenance("2026-01-02T00:00:00Z", "2026-01-10T00:00:00Z", "2026-01-10T04:00:00Z", of=HOSTILE),
        opened("2026-01-05T00:00:00Z", tenants=[HOSTILE], of=HOSTILE),
        resolved("2026-01-06T00:00:00Z", of=HOSTILE),
    ]
    ingest(engine, replayed(texts(lines), policies(), parse_rfc3339("2026-03-01T00:00:00Z")))
    yield client_of(engine)
    engine.dispose()


# -- queries ---------------------------------------------------------------------------------------------------------


def test_tenants_with_the_worst_latest_month_come_first(connection: Connection) -> None:
    found = months.tenants(connection)
    assert (found.total, {row.tenant_id for row in found.rows}) == (len(TENANTS), set(TENANTS))
    latest: dict[str, tuple[str, bool, float]] = {}
    for row in connection.execute(select(tenant_month)):
        month = (row.month, row.guarantee_met, row.availability)
        latest[row.tenant_id] = max(latest.get(row.tenant_id, month), month)
    expected = sorted(latest, key=lambda name: (latest[name][1], latest[name][2], name))
    assert [row.tenant_id for row in found.rows] == expected
    assert all(row.latest is not None and row.latest.month == latest[row.tenant_id][0] for row in found.rows)


@pytest.mark.parametrize(("search", "expected"), [("ACM", 1), ("o", 2), ("%", 0), ("_", 0), ("'", 0), ("umbrella", 1)])
def test_tenants_are_found_by_a_part_of_their_id(connection: Connection, search: str, expected: int) -> None:
    assert months.tenants(connection, search=search).total == expected


def test_tenants_come_in_pages(connection: Connection) -> None:
    every = months.tenants(connection).rows
    assert months.tenants(connection, limit=2, offset=2).rows == every[2:4]


def test_a_tenants_months_are_the_highest_revisions(connection: Connection) -> None:
    found = months.tenant_months(connection, "acme")
    assert len(found) == 13
    assert [row.month for row in found] == sorted(row.month for row in found)
    for row in found:
        query = select(statement).where(statement.c.tenant_id == "acme", statement.c.month == row.month)
        highest = max(connection.execute(query).all(), key=lambda one: one.revision)
        assert (row.revision, row.excluded, row.stated_at) == (
            highest.revision,
            highest.excluded_us,
            highest.occurred_at,
        )


def test_contracts_and_maintenance_are_those_of_the_tenant(connection: Connection) -> None:
    history = contracts.contract_history(connection, "acme")
    assert [one.charge.amount_minor for one in history] == [100_000, 150_000]
    assert contracts.contract_history(connection, "hooli").zone == "Asia/Tokyo"
    acme = contracts.maintenance_of(connection, "acme", start=START, end=NOW + 30 * DAY)
    assert {row.maintenance_id: (row.cancelled, row.platform) for row in acme} == {
        "m-1": (False, True),
        "m-2": (False, False),
        "m-3": (True, True),
    }
    hooli = contracts.maintenance_of(connection, "hooli", start=START, end=NOW + 30 * DAY)
    assert "m-2" not in {row.maintenance_id for row in hooli}
    assert contracts.maintenance_of(connection, "acme", start=START, end=START + DAY) == []


def test_a_month_shows_each_outage_with_its_incidents(connection: Connection) -> None:
    view = month_view(connection, policies(), "acme", "2026-06")
    assert view is not None
    terms = view.detail.terms
    assert view.latest
    outages = [row for row in view.spans if row.kind == "outage"]
    assert [(row.start, row.end) for row in outages] == list(terms.intervals)
    assert all(row.incidents for row in outages)
    assert "outage" in {link.incident_id for row in outages for link in row.incidents}
    assert view.under_contract == terms.eligible
    assert [(row.amount_minor, row.cause) for row in view.credits] == [(60_000, "claimed")]
    assert [row.occurred_at for row in view.claims] == [parse_rfc3339("2026-07-10T08:00:00Z")]
    newest = view.revisions[0]
    assert newest.detail.terms.status == "adjusted"
    # An hour after the correction arrived, whenever its record was written (R26).
    assert newest.detail.terms.time == NOW - 120 * DAY + HOUR
    assert newest.changes is not None
    assert [change.term for change in newest.changes] == ["status", "downtime", "intervals", "availability"]
    assert view.revisions[-1].changes is None
    earlier = month_view(connection, policies(), "acme", "2026-06", 1)
    assert earlier is not None
    assert (earlier.detail.terms.revision, earlier.latest) == (1, False)
    assert month_view(connection, policies(), "acme", "2026-06", 99) is None


def test_the_incidents_of_a_month_are_those_that_last_into_it(connection: Connection) -> None:
    start, end = NOW - 40 * DAY, NOW
    named = select(incident_tenant.c.incident_id).where(incident_tenant.c.tenant_id == "umbrella")
    own = set(connection.execute(named).scalars())
    expected = {
        row.incident_id
        for row in connection.execute(select(incident))
        if row.status not in {"merged", "annulled"}
        and (row.scope == "platform" or row.incident_id in own)
        and row.started_at < end
        and (row.restored_at is None or row.restored_at > start)
    }
    found = incidents_of_month(connection, "umbrella", start, end, limit=1000)
    assert {one.link.incident_id for one in found} == expected
    assert {"open-p1"} < expected
    assert "annulled" not in expected
    assert incidents_of_month(connection, "umbrella", start, end, limit=2) == found[:2]


# -- pictures --------------------------------------------------------------------------------------------------------


def test_days_are_those_of_the_zone_with_their_lengths() -> None:
    start, end = (parse_rfc3339(f"2026-{month}-01T00:00:00+02:00") for month in ("03", "04"))
    days = days_of(start + HOUR, end, "Europe/Berlin")
    lengths = {day.label: (day.end - day.start) // HOUR for day in days}
    assert len(days) == 31
    assert {label for label, hours in lengths.items() if hours != 24} == {"2026-03-29"}
    assert lengths["2026-03-29"] == 23
    assert all(one.end == following.start for one, following in itertools.pairwise(days))


def test_a_bar_reaches_as_far_as_availability_was_missing() -> None:
    bars = [
        AvailabilityBar("2026-01", 99.0, "99", 99.9, met=False, hover="<&>"),
        AvailabilityBar("2026-02", 98.0, "98", 99.9, met=False, hover="b"),
        AvailabilityBar("2026-03", None, "", None, met=True, hover="c"),
    ]
    svg = availability_chart(bars, identity="x", name="n", description="d")
    heights = [float(found) for found in re.findall(r'height="([\d.]+)" class="bar missed"', svg)]
    assert heights[1] == pytest.approx(2 * heights[0], rel=0.01)
    assert "&lt;&amp;&gt;" in svg
    assert 'role="img" viewBox' in svg


# -- pages -----------------------------------------------------------------------------------------------------------


def test_the_list_of_tenants_links_to_their_pages(client: TestClient) -> None:
    page = client.get("/tenants")
    assert page.status_code == 200
    assert all(f'href="/tenants/{name}"' in page.text for name in TENANTS)
    found = client.get("/tenants", params={"q": "acm"}).text
    assert 'href="/tenants/acme"' in found
    assert 'href="/tenants/hooli"' not in found
    none = client.get("/tenants", params={"q": "<b>"}).text
    assert "No tenant id contains this text" in none
    assert "<b>" not in none.partition("<main")[2]


def test_without_tenants_the_list_says_how_they_come(empty_read_model: Engine) -> None:
    page = client_of(empty_read_model).get("/tenants")
    assert page.status_code == 200
    assert "sla contracts import" in page.text


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("/tenants/nobody", "There is no tenant nobody"),
        ("/tenants/acme/2020-01", "acme has no statement for 2020-01"),
        ("/tenants/acme/2020-01/statement", "acme has no statement for 2020-01"),
        ("/tenants/acme/2026-06?revision=99", "acme has no statement for 2026-06"),
        ("/tenants/acme/2026-13", "There is no such page"),
        ("/tenants/acme/2026-06/statement/more", "There is no such page"),
        ("/tenants/acme/2020-01/statement.csv", "There is no such page"),
    ],
)
def test_what_does_not_exist_is_said(client: TestClient, address: str, says: str) -> None:
    page = client.get(address)
    assert page.status_code == 404
    assert says in unescape(page.text)


def test_a_tenants_page_has_a_bar_for_each_month(client: TestClient) -> None:
    page = client.get("/tenants/acme").text
    assert page.count('class="bar missed"') + page.count('class="bar met"') == 13
    assert 'href="/tenants/acme/2026-06"' in page
    assert "<a" not in page.partition("<svg xmlns")[2].partition("</svg>")[0]  # a picture has no controls in it
    assert "$1,500.00" in page


@pytest.fixture(scope="module")
def long_history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Two years under contract, with a credit in the second month and in the last one."""
    engine = open_engine(f"sqlite:///{tmp_path_factory.mktemp('long')}/board.db")
    upgrade(engine)
    lines = [contract("2024-01-01T00:00:00Z", of="acme")]
    for month in ("2024-02", "2025-12"):
        lines.append(opened(f"{month}-05T00:00:00Z", tenants=["acme"], of=f"inc-{month}"))
        lines.append(resolved(f"{month}-07T00:00:00Z", of=f"inc-{month}"))
    ingest(engine, replayed(texts(lines), policies(), parse_rfc3339("2026-01-10T00:00:00Z")))
    yield engine
    engine.dispose()


def test_a_credit_of_years_ago_is_reached_by_links(long_history: Engine) -> None:
    client = client_of(long_history)
    latest = client.get("/tenants/acme").text
    assert re.findall(r'href="/tenants/acme/([0-9-]{7})"', latest.partition("<svg xmlns")[0])[-1] == "2024-02"
    assert "Earlier months with a credit:" in latest
    assert 'href="/tenants/acme/2024-01"' not in latest
    address = "/tenants/acme"
    reached = []
    while True:
        page = client.get(address).text
        table = page.partition("<svg xmlns")[2]
        reached += re.findall(r'<td class="nowrap"><a href="/tenants/acme/([0-9-]{7})"', table)
        found = re.search(r'href="(\?until=[0-9-]{7})"', page)
        if found is None:
            break
        address = f"/tenants/acme{found[1]}"
    assert reached == sorted(set(reached), reverse=True)
    assert (reached[0], reached[-1], len(reached)) == ("2025-12", "2024-01", 24)
    assert 'href="/tenants/acme">Latest months' in page
    assert "no statement yet: " not in page
    nonsense = client.get("/tenants/acme?until=nonsense").text
    assert '<a href="/tenants/acme/2025-12"' in nonsense
    assert 'href="/tenants/acme/2024-01"' not in nonsense


def test_a_month_spells_out_its_credit_to_the_cent(client: TestClient) -> None:
    page = unescape(client.get("/tenants/acme/2026-06").text)
    assert "2,459,940 s ÷ 2,592,000 s = 40,999 ÷ 43,200" in page
    assert "$1,500.00 × 40 ÷ 100 = 600" in page
    assert page.count('class="span outage"') == 6  # four outages, two of which last over midnight
    assert 'href="/incidents/outage"' in page
    assert "132,060 s" in page
    assert "style=" not in page
    assert "<script>alert" not in page


def test_the_pages_are_in_japanese_too(client: TestClient) -> None:
    for address, word in (
        ("/tenants", "最新の月が保証に達しなかったものから"),
        ("/tenants/acme", "可用性と保証"),
        ("/tenants/acme/2026-06", "対象時間からクレジットまで"),
        ("/tenants/acme/2026-06/statement", "SLA 明細書"),
    ):
        page = client.get(address, params={"lang": "ja"}).text
        assert word in page
        assert '<html lang="ja"' in page


def test_the_strips_are_in_the_zone_of_the_contract(client: TestClient) -> None:
    page = client.get("/tenants/hooli/2026-06").text
    assert "times in Asia/Tokyo" in page
    facts = shown(page[: page.index('id="arithmetic"')])
    for name in ("As of", "Claimable until"):
        assert re.search(rf"{name} \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d , Asia/Tokyo", facts)


def test_a_statement_can_be_printed(client: TestClient) -> None:
    page = client.get("/tenants/acme/2026-06/statement?revision=5")
    assert page.status_code == 200
    assert "final, revision 5" in page.text


def test_the_statement_for_printing_has_nothing_internal(client: TestClient) -> None:
    """As the files for customers: no incidents, no places in topics, no digest, no flags, no rules."""
    month = client.get("/tenants/acme/2026-06").text
    printed = client.get("/tenants/acme/2026-06/statement").text
    digest = re.search(r"[0-9a-f]{64}", month)
    assert digest is not None
    rule = '<td class="muted">R25</td>'
    for internal in (digest[0], 'href="/incidents/', "outage</a>", '<dd class="mono">', "/policies/scalr", rule):
        assert internal in month, internal
        assert internal not in printed, internal
    main = printed[printed.index("<article") : printed.index("</article>")]
    assert not re.search(r"inc-\d|\boutage\n", main)
    assert "$600.00" in main


def test_the_csv_has_every_term_and_every_span(client: TestClient) -> None:
    answer = client.get("/tenants/acme/2026-06/statement.csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="statement-acme-2026-06-6.csv"'
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    terms = {row["name"]: row["value"] for row in rows if row["row"] == "term"}
    assert (terms["downtime_s"], terms["credit_minor"], terms["status"]) == ("132060", "60000", "adjusted")
    assert [row["seconds"] for row in rows if row["row"] == "outage"] == ["9420", "25260", "29520", "67860"]
    assert [row["value"] for row in rows if (row["row"], row["name"]) == ("arithmetic", "credit")] == ["$600.00"]


# -- hostile ids -----------------------------------------------------------------------------------------------------


def test_an_id_that_is_markup_is_shown_as_text(hostile: TestClient) -> None:
    segment = quote(HOSTILE, safe="")
    for rest in ("", f"/{segment}", f"/{segment}/2026-01", f"/{segment}/2026-01/statement"):
        address = f"/tenants{rest}"
        page = hostile.get(address)
        assert page.status_code == 200, address
        assert "<script>alert" not in page.text
        assert HOSTILE in unescape(page.text)
        assert f"/tenants/{segment}" in page.text


def test_an_id_that_is_a_formula_is_none_in_the_csv(hostile: TestClient) -> None:
    answer = hostile.get(f"/tenants/{quote(HOSTILE, safe='')}/2026-01/statement.csv")
    assert answer.status_code == 200
    assert re.fullmatch(r'attachment; filename="statement-[\w-]+\.csv"', answer.headers["content-disposition"])
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert {row["tenant"] for row in rows} == {HOSTILE}
    assert not any(cell.startswith(("=", "@", "+")) for row in rows for cell in row.values())
    assert [(row["row"], row["seconds"]) for row in rows if row["row"] in {"outage", "excluded"}] == [
        ("outage", str(DAY // 1_000_000)),
        ("excluded", str(4 * 3600)),
    ]


def test_ids_that_no_tenant_has_are_not_found(client: TestClient) -> None:
    for name in ("..%2F..%2Fetc%2Fpasswd", "%2e%2e", "%00", "a" * 5000, "%F0%28%8C%28"):
        assert client.get(f"/tenants/{name}").status_code == 404


# -- a month without a statement -------------------------------------------------------------------------------------

#: `quiet` has a contract and no statement before the middle of the month; one of its contract facts is stated again.
_BEFORE = parse_rfc3339("2026-01-15T00:00:00Z")


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    engine = open_engine(f"sqlite:///{tmp_path_factory.mktemp('quiet')}/board.db")
    upgrade(engine)
    lines = [
        contract("2026-01-01T00:00:00Z", of="quiet"),
        contract("2026-01-01T00:00:00Z", of="quiet"),
        opened("2026-01-14T22:00:00Z", tenants=["quiet"], of="outage"),
        opened("2026-01-14T22:00:00Z", "cosmetic", tenants=["quiet"], of="no-outage"),
        opened("2026-01-14T22:00:00Z", tenants=["other"], of="of-another"),
    ]
    ingest(engine, replayed(texts(lines), policies(), parse_rfc3339("2026-01-14T23:00:00Z")))
    yield page_client(engine, _BEFORE)
    engine.dispose()


def test_a_month_without_a_statement_shows_what_is_known(quiet: TestClient) -> None:
    page = quiet.get("/tenants/quiet/2026-01")
    assert page.status_code == 200
    text = shown(page.text)
    assert "no statement yet" in text
    assert "The final statement is due at 2026-02-04 00:00:00 UTC." in text
    assert page.text.count('class="span outage"') == 1
    assert 'href="/incidents/outage"' in page.text
    assert "no-outage" not in page.text
    assert "of-another" not in page.text
    assert "7,200 s" in text
    assert "これまでの停止 1 件" in quiet.get("/tenants/quiet/2026-01", headers={"Accept-Language": "ja"}).text


@pytest.mark.parametrize("month", ["2025-12", "2026-02", "2026-01?revision=1", "2026-01/statement"])
def test_a_month_outside_the_contract_or_ahead_has_no_page(quiet: TestClient, month: str) -> None:
    assert quiet.get(f"/tenants/quiet/{month}").status_code == 404


def test_time_outside_the_contract_is_no_outage(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/board.db")
    upgrade(engine)
    lines = [
        opened("2026-01-14T20:00:00Z", of="outage"),
        opened("2026-01-14T20:00:00Z", of="restored"),
        resolved("2026-01-14T21:00:00Z", of="restored"),
        contract("2026-01-14T22:00:00Z", of="late"),
    ]
    ingest(engine, replayed(texts(lines), policies(), parse_rfc3339("2026-01-14T23:00:00Z")))
    page = page_client(engine, _BEFORE + 496_244).get("/tenants/late/2026-01").text
    assert "restored" not in page.partition("<tbody>")[2]
    assert "7,200 s" in shown(page)
    assert page.count('class="span outage"') == 1
    engine.dispose()


def test_a_tenants_page_leads_to_the_present_month(quiet: TestClient) -> None:
    assert 'href="/tenants/quiet/2026-01"' in quiet.get("/tenants/quiet").text


def test_of_contracts_stated_twice_one_is_in_force(quiet: TestClient) -> None:
    text = shown(quiet.get("/tenants/quiet").text)
    assert (text.count(" in force "), text.count(" replaced ")) == (1, 1)
