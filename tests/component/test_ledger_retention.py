"""Retention of the ledger: what is older than the setting is evicted, is not stated again, and is too late (R26)."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from agent_harness import LEDGER, Cluster, play
from story import Line, claimed, contract, maintenance, opened, policies, resolved, run, texts

from agents.changelog.ledger import FACT, IMPACTS, MONTH, RETENTION
from cli.replay.outcome import disagreements, outcome_of
from streams.replay.simulate import simulate
from streams.replay.verify import ReplayedMonths, check_with_events
from streams.runtime.processor import Effects, SubjectFailed
from streams.serde.cloudevents_json import from_json
from streams.settings import read_settings
from streams.sla.arrival import TimeLimits
from streams.sla.credits.account import Account
from streams.sla.credits.retention import Retention
from streams.sla.credits.submitted import TermDifference, submitted_statement
from streams.sla.events import Rejection
from streams.sla.instants import DAY, HOUR, format_rfc3339, parse_rfc3339

SHORT = TimeLimits(retain_months=6)
END = parse_rfc3339("2028-03-20T00:00:00Z")


def years() -> Iterator[Line]:
    """Two years: each month an outage and a maintenance, each January another charge."""
    for year in (2026, 2027):
        yield contract(f"{year}-01-01T00:00:00Z", f"{year}-01-01T00:00:00Z", charge=100_000 + year, id=f"c-{year}")
        for month in range(1, 13):
            day = f"{year}-{month:02}"
            yield maintenance(f"{day}-02T00:00:00Z", f"{day}-05T00:00:00Z", f"{day}-05T01:00:00Z", of=f"m-{day}")
            yield opened(f"{day}-10T00:00:00Z", of=f"inc-{day}", tenants=["acme"])
            yield resolved(f"{day}-11T06:00:00Z", of=f"inc-{day}")
            yield claimed(f"{day}-28T00:00:00Z", day)


def loaded(lines: list[Line], *, until: int = END) -> Cluster:
    cluster = Cluster(policies(), SHORT, mark_every=10 * DAY, partitions=2)
    play(cluster, texts(lines), until=until)
    return cluster


@pytest.fixture(scope="module")
def full() -> Cluster:
    """All years; for inputs that change nothing."""
    return loaded(list(years()))


def statements(cluster: Cluster) -> list[tuple[str, int]]:
    return [(o["data"]["month"], o["data"]["revision"]) for o in cluster.outputs() if o["type"] == "credit.statement"]


def differences(outputs: list[Line], lines: list[str]) -> dict[int, TermDifference]:
    """What `sla verify` says of statements, by their order."""
    given = []
    for output in outputs:
        parsed = from_json(output)
        assert not isinstance(parsed, Rejection)
        given.append(submitted_statement(parsed[1], output["data"]))
    arrived = [json.dumps({"receivedtime": line["time"], **line}) for line in map(json.loads, lines)]
    found = check_with_events(given, arrived, ReplayedMonths(policies(), SHORT))
    return {index: difference for index, difference in found.items() if difference is not None}


def counts(cluster: Cluster) -> dict[str, int]:
    return {kind: len(cluster.rows(LEDGER, kind)) for kind in (MONTH, FACT, IMPACTS)}


def test_r26_rows_of_what_is_older_than_the_setting_are_deleted(full: Cluster) -> None:
    lines, cluster = list(years()), full
    # Of March 2028 the months from September 2027 on are kept: six with a final statement, and what is provisional.
    rows = counts(cluster)
    assert 6 <= rows[MONTH] <= 7
    # What ends less than a month before them stays too: elsewhere it may lie in the first month that is kept.
    assert rows[IMPACTS] == 5
    partitions = cluster.topics.partitions
    # Both contract facts (the first fixes the zone, the last is in force), four claims, five maintenances everywhere.
    assert rows[FACT] == 2 + 4 + 5 * partitions
    assert len(cluster.rows(LEDGER, RETENTION)) == partitions
    expected = outcome_of(simulate(texts(lines), policies(), until=END, time_limits=SHORT))
    assert disagreements(expected, cluster.outcome()) == []
    plain = outcome_of(simulate(texts(lines), policies(), until=END))
    assert plain.statements.keys() == expected.statements.keys()
    assert plain.issued == expected.issued


def test_r26_what_is_evicted_is_not_stated_again_after_a_restart(full: Cluster) -> None:
    cluster = full
    stated = statements(cluster)
    cluster.rebuild_all()
    cluster.pass_time(END + 2 * DAY)
    cluster.rebuild_all()
    assert cluster.doubled() == []
    assert statements(cluster) == stated


@pytest.mark.parametrize("restarted", [False, True])
def test_r26_a_contract_of_years_with_a_later_charge_to_come_is_stated_after_a_restart(*, restarted: bool) -> None:
    """The months of its beginning are evicted; a restart looks for the first one to close from there on."""
    first = contract("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z", id="c-1")
    following = contract("2028-03-10T00:00:00Z", "2028-07-01T00:00:00Z", charge=5, id="c-2")
    cluster = loaded([first, following])
    if restarted:
        cluster.rebuild_all()
    cluster.pass_time(parse_rfc3339("2028-08-23T00:00:00Z"))
    assert statements(cluster)[-6:] == [(f"2028-{month:02}", 1) for month in range(2, 8)]


@pytest.mark.parametrize(
    "late",
    [
        claimed("2028-03-19T00:00:00Z", "2026-02"),
        contract("2028-03-19T00:00:00Z", "2026-03-01T00:00:00Z", charge=1),
        contract("2028-03-19T00:00:00Z", "2026-03-01T00:00:00Z", end="2026-04-01T00:00:00Z", of="b"),
        maintenance("2028-03-19T00:00:00Z", "2026-03-05T00:00:00Z", "2026-03-05T05:00:00Z", of="m-late"),
    ],
    ids=["a claim", "a contract that another follows", "a contract that has ended", "a maintenance"],
)
def test_r26_what_concerns_only_evicted_months_is_too_late(full: Cluster, late: Line) -> None:
    cluster = full
    cluster.rebuild_all()
    earlier = len(cluster.codes())
    before = counts(cluster)
    cluster.publish(late, END + DAY)
    assert cluster.codes()[earlier:] == ["too_late"]
    if late["type"] != "credit.claimed":
        assert "SLA_RETAIN_MONTHS" in cluster.rejects()[-1].message
    assert counts(cluster) == before


def test_r26_claims_of_a_tenant_that_never_had_a_contract_are_evicted_too() -> None:
    strays = [claimed(f"2026-{month:02}-28T00:00:00Z", f"2026-{month:02}", of="stranger") for month in range(1, 13)]
    cluster = loaded([*strays, claimed("2027-12-28T00:00:00Z", "2027-12", of="stranger")])
    assert len(cluster.rows(LEDGER, FACT)) == 1
    evicted = cluster.rejects()
    shares = [task.processor._context.reject_share for task in cluster.tasks.values()]
    assert not any(share._codes or share._codes_before for share in shares), "they were counted as good when they came"
    assert [each.code for each in evicted] == ["too_late"] * 12, "no statement answered them"
    assert [each.message.partition(": ")[2][:7] for each in evicted] == [f"2026-{month:02}" for month in range(1, 13)]
    cluster.publish(claimed("2028-03-19T00:00:00Z", "2026-02", of="stranger"), END + DAY)
    assert cluster.codes()[12:] == ["too_late"]
    cluster.pass_time(parse_rfc3339("2028-08-01T12:00:00Z"))
    home = cluster.tasks[LEDGER, cluster.own("stranger")]
    assert not cluster.rows(LEDGER, FACT)
    assert not home.processor._ledger.timers.has_accounts
    cluster.rebuild_all()


def test_r24_a_contract_fact_that_ends_the_contract_for_kept_months_is_no_late_one() -> None:
    cluster = loaded([line for line in years() if line["type"] != "credit.claimed"])
    ending = contract("2028-03-19T00:00:00Z", "2027-02-01T00:00:00Z", end="2027-03-01T00:00:00Z", id="c-end")
    cluster.publish(ending, END + DAY)
    assert cluster.codes() == []


def test_r23_a_version_long_ago_takes_time_away_from_a_maintenance_that_is_kept() -> None:
    cluster = loaded([line for line in years() if line["type"] != "credit.claimed"])
    moved = maintenance("2028-03-19T00:00:00Z", "2026-03-05T00:00:00Z", "2026-03-05T05:00:00Z", of="m-2027-12")
    cluster.publish(moved, END + DAY)
    assert cluster.codes() == []


def test_r26_months_that_are_kept_are_adjusted_and_claimed_as_before() -> None:
    cluster = loaded([line for line in years() if line["type"] != "credit.claimed"])
    cluster.rebuild_all()
    cluster.publish(claimed("2028-03-20T00:00:00Z", "2027-12"), END + DAY)
    cluster.publish(contract("2028-03-20T00:00:00Z", "2027-10-01T00:00:00Z", charge=50_000, id="c-late"), END + DAY)
    cluster.pass_time(END + 12 * DAY)
    assert cluster.codes() == ["too_late"], "the claim of December came after its sixty days"
    adjusted = [o["data"]["month"] for o in cluster.outputs() if o["data"].get("status") == "adjusted"]
    assert adjusted == ["2027-10", "2027-11", "2027-12", "2028-01", "2028-02"]


@pytest.mark.parametrize(
    ("zone", "start", "month"),
    [
        ("America/Los_Angeles", "2027-09-10T00:00:00Z", "2027-09"),
        ("America/Los_Angeles", "2027-09-01T09:00:00Z", "2027-09"),
        ("Asia/Tokyo", "2027-09-30T16:00:00Z", "2027-10"),
    ],
)
def test_r24_the_first_month_that_is_kept_keeps_what_it_needs_in_every_zone(zone: str, start: str, month: str) -> None:
    """A correction of the charge, after the eviction, finds the outage, the maintenance and the contract there."""
    begin = parse_rfc3339(start)
    cluster = loaded(
        [
            contract("2027-01-01T00:00:00Z", "2027-01-01T00:00:00Z", zone=zone, id="c-1"),
            contract("2027-01-02T00:00:00Z", format_rfc3339(begin + HOUR // 2), charge=70_000, zone=zone, id="c-2"),
            maintenance("2027-01-02T00:00:00Z", start, format_rfc3339(begin + 2 * HOUR)),
            opened(start, tenants=["acme"]),
            resolved(format_rfc3339(begin + 7 * HOUR)),
        ],
        until=parse_rfc3339("2028-04-01T12:00:00Z"),
    )
    announced = maintenance("2028-04-02T00:00:00Z", start, format_rfc3339(begin + 3 * HOUR), announced=start, of="m-2")
    cluster.publish(announced, parse_rfc3339("2028-04-02T00:00:00Z"))
    late = contract("2028-04-02T00:00:00Z", format_rfc3339(begin + HOUR), charge=90_000, zone=zone, id="c-3")
    cluster.publish(late, parse_rfc3339("2028-04-02T00:00:00Z"))
    cluster.pass_time(parse_rfc3339("2028-04-23T00:00:00Z"))
    assert cluster.codes() == []
    stated = [o["data"] for o in cluster.outputs() if o["data"].get("month") == month]
    found = [(each["status"], each["downtime_s"], each["excluded_s"], each["eligible_s"]) for each in stated]
    whole = stated[0]["eligible_s"]
    assert found[-2:] == [("final", 5 * 3600, 2 * 3600, whole), ("adjusted", 4 * 3600, 3 * 3600, whole)]


def test_r26_a_month_is_adjusted_before_it_is_evicted_while_its_outages_are_known() -> None:
    """The contract is corrected half an hour before the month would be evicted, and its statement settles for one."""
    evicted = parse_rfc3339("2028-04-01T00:00:00Z")
    cluster = loaded(list(years()), until=evicted - 2 * HOUR)
    late = contract("2028-03-31T23:20:00Z", "2027-09-01T00:00:00Z", charge=90_000, id="c-late")
    cluster.publish(late, evicted - HOUR // 2)
    cluster.rebuild_all()
    cluster.pass_time(evicted + 20 * DAY)
    adjusted = [o for o in cluster.outputs() if o["data"].get("status") == "adjusted"]
    found = {o["data"]["month"]: (o["time"], o["data"]["downtime_s"], o["data"]["credit"]) for o in adjusted}
    credit = {"amount_minor": 27_000, "currency": "USD"}
    assert found["2027-09"] == ("2028-04-01T00:00:00Z", 30 * 3600, credit)
    assert found["2027-10"] == ("2028-04-01T00:30:00Z", 30 * 3600, credit)
    assert [o["data"]["waived"]["amount_minor"] for o in adjusted[:1]] == [30_608 - 27_000]
    months = b" ".join(cluster.rows(LEDGER, MONTH))
    assert (b"2027-09" in months, b"2027-12" in months) == (False, True), "it is evicted all the same"
    lines = texts([*years(), late | {"receivedtime": "2028-03-31T23:30:00Z"}])
    assert differences(adjusted, lines) == {}, "sla verify agrees"
    early = [o | {"time": "2028-03-01T00:00:00Z"} for o in adjusted[:1]]
    assert [d.term for d in differences(early, lines).values() if d is not None] == ["monthly_charge"]
    elsewhere = [o | {"time": "2028-05-01T00:00:00Z"} for o in adjusted[:1]]
    assert [d.term for d in differences(elsewhere, lines).values() if d is not None] == ["time"]


def test_r26_a_contract_fact_that_is_too_late_for_the_retention_verifies_no_statement_otherwise() -> None:
    """It would be the earliest fact of the tenant, which decides zone and currency; the ledger does not take it."""
    old = contract("2025-06-01T00:00:00Z", end="2025-12-01T00:00:00Z", zone="Asia/Tokyo", currency="EUR", id="c-old")
    loaded_line = old | {"backfill": True, "receivedtime": "2028-03-10T00:00:00Z"}
    lines = texts([*years(), loaded_line])
    until = parse_rfc3339("2028-04-20T00:00:00Z")
    outputs: list[Line] = list(simulate(lines, policies(), until=until, time_limits=SHORT))
    assert [o["data"]["code"] for o in outputs if o["type"] == "sla.rejected"] == ["too_late"]
    stated = [o for o in outputs if o["type"] == "credit.statement"]
    assert (stated[-1]["data"]["month"], stated[-1]["data"]["credit"]["currency"]) == ("2028-03", "USD")
    assert differences(stated, lines) == {}


def test_r27_a_month_that_cannot_be_adjusted_before_it_is_evicted_costs_its_tenant_and_not_the_eviction(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    evicted = parse_rfc3339("2028-04-01T00:00:00Z")
    cluster = loaded(list(years()), until=evicted - 2 * HOUR)
    late = contract("2028-03-31T23:20:00Z", "2027-09-01T00:00:00Z", charge=90_000, id="c-late")
    cluster.publish(late, evicted - HOUR // 2)

    def fail(*_: object) -> None:
        raise RuntimeError("broken")

    with monkeypatch.context() as broken:
        broken.setattr("streams.sla.credits.month_close.MonthClose.settle", fail)
        cluster.sets_aside = True
        cluster.pass_time(evicted + 20 * DAY)
    assert cluster.codes() == ["internal"]
    names = b" ".join(cluster.rows(LEDGER, IMPACTS))
    assert (b"inc-2027-09" in names, b"inc-2027-12" in names) == (True, True), "the tenant's outages stay meanwhile"
    cluster.rebuild_all()
    released = contract("2028-04-21T00:00:00Z", "2028-04-21T00:00:00Z", charge=90_000, id="c-next")
    cluster.publish(released, evicted + 20 * DAY)
    cluster.pass_time(evicted + 50 * DAY)
    adjusted = [o["data"] for o in cluster.outputs() if o["data"].get("status") == "adjusted"]
    assert {o["month"]: o["downtime_s"] for o in adjusted}["2027-09"] == 30 * 3600
    names = b" ".join(cluster.rows(LEDGER, IMPACTS))
    assert (b"inc-2027-09" in names, b"inc-2027-12" in names) == (False, True), "they are evicted after its release"


@pytest.mark.parametrize("restarting", [False, True])
def test_r27_the_months_of_a_tenant_that_was_in_quarantine_beyond_the_retention_are_stated(*, restarting: bool) -> None:
    """They are closed after its release, claims and outages included, and evicted then."""
    lines = [
        contract("2027-01-01T00:00:00Z", "2027-01-01T00:00:00Z", id="c-1"),
        contract("2027-01-01T00:00:00Z", "2029-01-01T00:00:00Z", charge=1, id="c-2"),
        claimed("2028-03-01T00:00:00Z", "2028-05"),
        opened("2028-03-11T00:00:00Z", tenants=["acme"]),
        resolved("2028-03-14T00:00:00Z"),
        opened("2028-05-11T00:00:00Z", of="may", tenants=["acme"]),
        resolved("2028-05-14T00:00:00Z", of="may"),
    ]
    stopped, released = parse_rfc3339("2028-03-20T00:00:00Z"), parse_rfc3339("2028-12-23T00:00:00Z")
    cluster = loaded(lines[:5], until=stopped)
    home = cluster.tasks[LEDGER, cluster.own("acme")]
    restart = cluster.rebuild_all if restarting else lambda: None
    effects = Effects()
    home.processor.quarantine("acme", "odd", effects, 3)
    cluster._commit(home, effects)
    for line in lines[5:]:
        cluster.publish(line, parse_rfc3339(line["time"]))
    for day in range(0, (released - stopped) // DAY, 20):
        cluster.pass_time(max(stopped + day * DAY, home.time))
        restart()
    cluster.publish(lines[0], released)
    restart()
    cluster.pass_time(released + 20 * DAY)
    assert cluster.codes() == ["internal"]
    plain = outcome_of(simulate(texts(lines), policies(), until=released + 20 * DAY))
    assert disagreements(plain, cluster.outcome()) == []
    months = b" ".join(cluster.rows(LEDGER, MONTH))
    assert (b"2028-05" in months, b"2028-12" in months) == (False, True), "they are evicted after that"
    assert cluster.doubled() == []


def test_r26_an_old_outage_that_arrives_late_changes_only_what_is_kept() -> None:
    cluster = loaded(list(years()))
    late = [opened("2028-03-19T00:00:00Z", of="long", tenants=["acme"], started="2028-03-01T00:00:00Z")]
    play(cluster, texts(late), until=END + 3 * DAY)
    assert cluster.codes() == []


@pytest.mark.parametrize(
    ("now", "months", "limit"),
    [
        ("2026-07-31T23:59:59Z", 36, "2023-07-01T00:00:00Z"),
        ("2026-08-01T00:00:00Z", 36, "2023-08-01T00:00:00Z"),
        ("2026-01-15T00:00:00Z", 1, "2025-12-01T00:00:00Z"),
        ("1971-01-15T00:00:00Z", 36, "1970-01-01T00:00:00Z"),
    ],
)
def test_the_limit_is_where_the_oldest_month_that_is_retained_begins(now: str, months: int, limit: str) -> None:
    kept = Retention(months)
    assert kept.limit(parse_rfc3339(now)) == parse_rfc3339(limit)
    assert kept.next_due(parse_rfc3339("2026-07-31T23:59:59Z")) == parse_rfc3339("2026-08-01T00:00:00Z")
    kept.pending = True
    assert kept.next_due(5) == 5


def test_the_setting_is_the_ledgers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLA_RETAIN_MONTHS", "12")
    assert read_settings().time_limits().retain_months == 12


def test_simulate_evicts_nothing_that_it_still_has_to_state() -> None:
    """All months of a load are stated, however old."""
    outputs = run(*years(), until="2028-03-20T00:00:00Z", backfill=True, time_limits=SHORT)
    months = {o["data"]["month"] for o in outputs if o["type"] == "credit.statement"}
    assert len([month for month in months if month < "2028"]) == 24


@pytest.mark.parametrize("cause", [MemoryError(), ValueError("odd")])
def test_r27_a_tenant_that_cannot_be_evicted_fails_for_what_its_eviction_raised(
    monkeypatch: pytest.MonkeyPatch, cause: Exception
) -> None:
    """Who reads the failure sees the cause; where that is a want of memory the tenant is not quarantined for it."""

    def raising(*_: object) -> None:
        raise cause

    cluster = loaded([contract("2027-01-01T00:00:00Z", "2027-01-01T00:00:00Z")])
    home = cluster.tasks[LEDGER, cluster.own("acme")]
    for partition in range(cluster.topics.partitions):
        home.processor._ledger.timers.apply_watermark(partition, END + 60 * DAY)
    monkeypatch.setattr(Account, "remove_month", raising)
    with pytest.raises(SubjectFailed) as failed:
        home.processor.fire(END + 60 * DAY, 1_000, Effects())
    assert failed.value.subject == "acme"
    assert failed.value.__cause__ is cause
