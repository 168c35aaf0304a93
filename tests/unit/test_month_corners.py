"""R22–R24: maintenance and contracts that begin, end, overlap or change within a month, told late or twice."""

from __future__ import annotations

from typing import Any

import pytest
from story import (
    Line,
    contract,
    maintenance,
    maintenance_cancelled,
    opened,
    reclassified,
    resolved,
    run,
    statements,
)

FEBRUARY = "2026-02-20T00:00:00Z"
FINAL = "2026-04-04T00:00:00Z"
BEFORE = "2026-03-01T00:00:00Z"
OUTAGE = [opened("10:00"), resolved("11:00")]
HOUR, DAY = 3600, 86_400


def march(*lines: Line, until: str = FINAL, tenant: str = "acme") -> Line:
    terms = [] if any(line["type"] == "contract.set" for line in lines) else [contract(FEBRUARY)]
    return statements(run(*terms, *lines, until=until), tenant)["2026-03"]


def seconds(*lines: Line, **more: Any) -> tuple[int, int]:
    """Downtime and excluded time."""
    found = march(*lines, **more)
    return found["downtime_s"], found["excluded_s"]


def test_r23_windows_that_overlap_exclude_each_second_once() -> None:
    both = [maintenance(BEFORE, "10:10", "10:40"), maintenance(BEFORE, "10:30", "11:30", of="m-2", components=["ui"])]
    assert seconds(*both) == (0, 80 * 60)
    # The second names another component: from 10:40 to 11:00 the outage goes on, and is no excluded time.
    assert seconds(*both, *OUTAGE) == (30 * 60, (30 + 30) * 60)


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ("09:30", "10:30", (1800, 3600)),
        ("10:30", "11:30", (1800, 3600)),
        ("09:00", "12:00", (0, 3 * HOUR)),
        ("11:00", "12:00", (HOUR, HOUR)),
        ("09:00", "10:00", (HOUR, HOUR)),
    ],
)
def test_r23_an_outage_is_cut_where_a_window_overlaps_it(start: str, end: str, expected: tuple[int, int]) -> None:
    assert seconds(maintenance(BEFORE, start, end), *OUTAGE) == expected


def test_r23_announced_late_or_for_another_component_it_cuts_nothing() -> None:
    late = maintenance("10:30", "10:15", "10:45", announced="10:16")
    assert seconds(OUTAGE[0], late, OUTAGE[1]) == (HOUR, 0)
    assert seconds(maintenance(BEFORE, "10:15", "10:45", components=["backups"]), *OUTAGE) == (HOUR, 0)
    # What is not guaranteed is nothing to exclude.
    assert seconds(maintenance(BEFORE, "12:00", "13:00", components=["guest_agent"]), *OUTAGE) == (HOUR, 0)


def test_r23_written_down_late_but_announced_in_time_it_counts() -> None:
    """What counts is when it was announced, not when the event of it came."""
    told = maintenance("10:50", "10:15", "10:45", announced="10:15")
    assert seconds(OUTAGE[0], told, OUTAGE[1]) == (1800, 1800)


def test_r23_cancelled_after_the_final_statement_the_outage_counts_again() -> None:
    window = maintenance(BEFORE, "10:00", "2 10:00")
    outage = [opened("10:00"), resolved("1 10:00")]
    cancelled = maintenance_cancelled("2026-04-10T00:00:00Z")
    found = march(window, *outage, cancelled, until="2026-04-11T00:00:00Z")
    assert (found["status"], found["downtime_s"], found["excluded_s"]) == ("adjusted", DAY, 0)
    assert (found["credit"]["amount_minor"], found["delta"]["amount_minor"]) == (20_000, 20_000)
    assert found["exclusions"] == []


def test_r23_a_cancellation_that_arrives_before_its_window_stands() -> None:
    window, cancelled = maintenance(BEFORE, "10:15", "10:45", received="12:00"), maintenance_cancelled("09:00")
    assert seconds(cancelled, *OUTAGE, window) == (HOUR, 0)
    again = maintenance("09:30", "10:15", "10:45")
    assert seconds(cancelled, again, *OUTAGE, window) == (1800, 1800)


def test_r23_moved_to_another_time_and_component_only_the_last_word_excludes() -> None:
    moved = maintenance("09:00", "20:00", "21:00", components=["ui"])
    assert seconds(maintenance(BEFORE, "10:15", "10:45"), moved, *OUTAGE) == (HOUR, HOUR)


def test_r23_a_window_over_a_months_end_and_outside_the_contract_is_clipped() -> None:
    window = maintenance(BEFORE, "2026-03-31T22:00:00Z", "2026-04-01T05:00:00Z")
    assert seconds(window) == (0, 2 * HOUR)
    ended = contract(FEBRUARY, end="2026-03-31T22:30:00Z")
    assert seconds(ended, window) == (0, 1800)
    outputs = run(contract(FEBRUARY), window, until="2026-05-05T00:00:00Z")
    assert statements(outputs)["2026-04"]["excluded_s"] == 5 * HOUR


def test_r23_a_window_of_some_tenants_cuts_the_outage_for_them_alone() -> None:
    terms = [contract(FEBRUARY, id="c1"), contract(FEBRUARY, of="b", id="c2")]
    lines = [*terms, maintenance(BEFORE, "10:15", "10:45", tenants=["b"]), *OUTAGE]
    assert seconds(*lines) == (HOUR, 0)
    assert seconds(*lines, tenant="b") == (1800, 1800)


def test_r22_platform_wide_and_own_outages_on_several_components_count_each_second_once() -> None:
    lines = [
        opened("10:00"),
        opened("10:30", of="b", tenants=["acme"], component="ui"),
        resolved("11:00"),
        opened("11:00", of="c", component="backups"),
        resolved("11:20", of="b"),
        resolved("11:30", of="c"),
    ]
    found = march(*lines)
    assert found["downtime_s"] == 90 * 60
    assert [(each["start"][11:16], each["end"][11:16]) for each in found["intervals"]] == [("10:00", "11:30")]
    assert sorted({each["id"] for each in found["evidence"] if each["kind"] == "incident"}) == ["b", "c", "inc"]


def test_r22_an_incident_that_becomes_platform_wide_counts_for_others_from_then_on() -> None:
    lines = [
        contract(FEBRUARY, id="c1"),
        contract(FEBRUARY, of="b", id="c2"),
        opened("10:00", tenants=["acme"]),
        reclassified("10:20", scope="platform"),
        reclassified("10:50", tenants=["b"]),
        resolved("11:00"),
    ]
    assert (march(*lines)["downtime_s"], march(*lines, tenant="b")["downtime_s"]) == (50 * 60, 40 * 60)


@pytest.mark.parametrize(
    ("start", "end", "eligible", "down"),
    [
        ("10:30", None, 31 * DAY - DAY - 37_800, 1800),
        (FEBRUARY, "10:30", DAY + 37_800, 1800),
        ("10:15", "10:45", 1800, 1800),
        ("10:59:59", "11:00:01", 2, 1),
        ("11:00", None, 31 * DAY - DAY - 39_600, 0),
    ],
)
def test_r24_a_contract_that_begins_or_ends_in_the_month_counts_to_the_instant(
    start: str, end: str | None, eligible: int, down: int
) -> None:
    found = march(contract(FEBRUARY, start, end=end), *OUTAGE)
    assert (found["eligible_s"], found["downtime_s"]) == (eligible, down)


def test_r24_an_outage_between_two_contracts_is_nobodys() -> None:
    terms = [contract(FEBRUARY, end="10:10"), contract("2026-02-21T00:00:00Z", "10:40", charge=5)]
    found = march(*terms, *OUTAGE)
    assert (found["downtime_s"], found["eligible_s"]) == (30 * 60, 31 * DAY - 30 * 60)
    assert [each["start"][11:16] for each in found["intervals"]] == ["10:00", "10:40"]


def test_r24_an_ended_contract_with_the_greatest_valid_from_means_none() -> None:
    """An older contract without an end does not come back when the newer one is over."""
    found = march(contract(FEBRUARY), contract("2026-02-21T00:00:00Z", "10:00", end="10:30"), *OUTAGE)
    assert (found["downtime_s"], found["eligible_s"]) == (1800, DAY + 37_800)


@pytest.mark.parametrize(
    ("zone", "month", "hours"),
    [
        ("America/New_York", "2026-03", 31 * 24 - 1),
        ("America/New_York", "2026-11", 30 * 24 + 1),
        ("Australia/Lord_Howe", "2026-04", 30 * 24 + 0.5),
        ("Asia/Tokyo", "2026-03", 31 * 24),
        (None, "2028-02", 29 * 24),
        (None, "2027-02", 28 * 24),
    ],
)
def test_r24_a_months_length_is_that_of_its_zone(zone: str | None, month: str, hours: float) -> None:
    year = int(month[:4])
    outputs = run(contract(f"{year}-01-20T00:00:00Z", zone=zone), until=f"{year}-12-31T00:00:00Z")
    assert statements(outputs)[month]["eligible_s"] == hours * HOUR


def test_r24_an_outage_over_the_leap_day_and_two_month_ends() -> None:
    lines = [opened("2028-01-31T12:00:00Z"), resolved("2028-03-01T12:00:00Z")]
    found = statements(run(contract("2028-01-05T00:00:00Z"), *lines, until="2028-04-05T00:00:00Z"))
    assert [found[f"2028-0{n}"]["downtime_s"] for n in (1, 2, 3)] == [DAY // 2, 29 * DAY, DAY // 2]
    assert found["2028-02"]["credit_percent"] == "100"


def test_r24_the_zone_decides_which_month_an_outage_is_of() -> None:
    lines = [opened("2026-03-31T14:30:00Z"), resolved("2026-03-31T15:30:00Z")]
    found = statements(run(contract(FEBRUARY, zone="Asia/Tokyo"), *lines, until="2026-05-05T00:00:00Z"))
    assert (found["2026-03"]["downtime_s"], found["2026-04"]["downtime_s"]) == (1800, 1800)
    assert found["2026-03"]["period"] == {
        "start": "2026-02-28T15:00:00Z",
        "end": "2026-03-31T15:00:00Z",
        "time_zone": "Asia/Tokyo",
    }
