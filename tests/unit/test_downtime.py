"""R21–R24: what counts as downtime of a tenant-month, and what is left out of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from story import (
    Line,
    amended,
    annulled,
    contract,
    maintenance,
    maintenance_cancelled,
    merged,
    opened,
    policies,
    reclassified,
    reopened,
    resolved,
    run,
    shipped,
    statements,
    tell,
)

FEBRUARY = "2026-02-20T00:00:00Z"
FINAL = "2026-04-04T00:00:00Z"
MONTH = 31 * 24 * 3600


def march(*lines: Line, terms: Line | None = None, **more: Any) -> Line:
    """The statement of March that stands after its final."""
    return statements(run(terms or contract(FEBRUARY), *lines, until=FINAL, **more))["2026-03"]


def minutes(*lines: Line, **more: Any) -> float:
    return march(*lines, **more)["downtime_s"] / 60


@pytest.mark.parametrize(
    ("impact", "counts"),
    [
        ("complete_outage", True),
        ("critical_performance", True),
        ("material_aspect", True),
        ("processing_delay", False),
        ("cosmetic", False),
    ],
)
def test_r21_impacts_that_count(impact: str, counts: bool) -> None:
    assert minutes(opened("10:00", impact), resolved("11:00")) == (60 if counts else 0)


@pytest.mark.parametrize(
    ("component", "counts"),
    [
        ("ui", True),
        ("api", True),
        ("auto_scaling", True),
        ("backups", True),
        ("auto_healing", False),
        ("guest_agent", False),
        ("other", False),
    ],
)
def test_r21_components_that_count(component: str, counts: bool) -> None:
    assert minutes(opened("10:00", component=component), resolved("11:00")) == (60 if counts else 0)


def test_r21_downtime_is_from_started_to_restored() -> None:
    assert minutes(opened("10:00", started="09:40"), resolved("11:00", restored="10:50")) == 70
    assert minutes(opened("10:00"), merged("10:30")) == 30
    assert minutes(opened("10:00"), resolved("10:30"), annulled("11:00")) == 0


def test_r21_other_tenants_outages_are_not_mine() -> None:
    assert minutes(opened("10:00", tenants=["other"]), resolved("11:00")) == 0
    assert minutes(opened("10:00", tenants=["other", "acme"]), resolved("11:00")) == 60


def test_r21_reclassification_counts_from_its_own_time() -> None:
    worse = reclassified("10:20", impact="complete_outage")
    assert minutes(opened("10:00", "cosmetic"), worse, resolved("11:00")) == 40
    milder = reclassified("10:20", impact="cosmetic")
    assert minutes(opened("10:00"), milder, resolved("11:00")) == 20
    moved = reclassified("10:20", tenants=["acme"])
    assert minutes(opened("10:00", tenants=["other"]), moved, resolved("11:00")) == 40
    late = reclassified("10:20", impact="complete_outage", received="12:00")
    assert minutes(opened("10:00", "cosmetic"), resolved("11:00"), late) == 40


def test_r21_impact_lists_replace_the_whole() -> None:
    lines = [opened("10:00", started="09:50"), reclassified("10:20", impact="cosmetic"), resolved("11:00")]
    assert tell(run(*lines, reopened("12:00")), "changed") == [
        "changed api:complete_outage:09:50–never",
        "changed api:complete_outage:09:50–10:20, api:cosmetic:10:20–never",
        "changed api:complete_outage:09:50–10:20, api:cosmetic:10:20–11:00",
        "changed api:complete_outage:09:50–10:20, api:cosmetic:10:20–11:00, api:cosmetic:12:00–never",
    ]


def test_r21_amendments_beat_every_report() -> None:
    base = [opened("10:00"), resolved("11:00")]
    assert minutes(*base, amended("12:00", started="09:30", restored="11:30")) == 120
    assert minutes(*base, amended("12:00", restored="10:15"), amended("13:00", restored="10:20")) == 20
    # The last by its own time, whenever it arrives.
    assert (
        minutes(*base, amended("13:00", restored="10:20"), amended("12:00", restored="10:15", received="14:00")) == 20
    )
    # The report of an earlier instant does not bring the old time back.
    assert minutes(opened("10:00"), amended("10:30", restored="10:20"), resolved("11:00")) == 20
    # Nor does a monitor that takes its resolution back, as after an alert that flaps (R15).
    flaps = [*base, amended("11:02", restored="10:40"), reopened("11:05", "10:00"), resolved("15:00")]
    assert minutes(*flaps) == 40
    assert minutes(*flaps, amended("16:00", restored="15:00")) == 300
    # Reclassifications keep their own times within the amended episode.
    changed = [opened("10:00"), reclassified("10:20", impact="cosmetic"), resolved("11:00")]
    assert minutes(*changed, amended("12:00", started="09:30")) == 50


def test_r21_an_amended_end_after_the_resolution_still_sees_a_reclassification() -> None:
    lines = [opened("10:00"), resolved("11:00"), reclassified("11:20", impact="cosmetic")]
    assert minutes(*lines, amended("12:00", restored="11:40")) == 80


def test_r21_times_concern_the_episode_current_at_the_amendment() -> None:
    lines = [
        opened("10:00"),
        resolved("11:00"),
        amended("11:30", restored="10:30"),
        reopened("12:00"),
        resolved("13:00"),
    ]
    assert minutes(*lines) == 90
    assert minutes(*lines[:2], *lines[3:], amended("14:00", restored="12:10")) == 70
    late = amended("11:30", restored="10:30", received="14:00")
    assert minutes(*lines[:2], *lines[3:], late) == 90


@pytest.mark.parametrize(("start", "others", "mine"), [("13:00", 60, 180), ("10:30", 60, 240), ("09:30", 90, 240)])
def test_r21_a_start_before_a_reclassification_of_an_earlier_outage(start: str, others: int, mine: int) -> None:
    """Until the reclassification it counts for the tenants of before."""
    lines = [
        opened("10:00", tenants=["other"]),
        reclassified("11:00", tenants=["acme"], component="ui"),
        resolved("12:00"),
        reopened("14:00"),
        resolved("15:00"),
        amended("16:00", started=start),
    ]
    found = run(contract(FEBRUARY), contract(FEBRUARY, of="other"), *lines, until=FINAL)
    assert statements(found)["2026-03"]["downtime_s"] / 60 == mine
    assert statements(found, "other")["2026-03"]["downtime_s"] / 60 == others


def test_r21_counts_as_downtime_concerns_the_whole_incident() -> None:
    lines = [opened("10:00", "cosmetic"), resolved("11:00"), reopened("12:00"), resolved("13:00")]
    assert minutes(*lines, amended("14:00", counts=True)) == 120
    assert minutes(opened("10:00"), resolved("11:00"), amended("14:00", counts=False)) == 0
    assert minutes(opened("10:00", component="guest_agent"), resolved("11:00"), amended("14:00", counts=True)) == 0
    assert minutes(*lines, amended("14:00", counts=True), amended("15:00", counts=False)) == 0


def test_r21_each_tenants_own_plan_judges() -> None:
    lenient = replace(shipped(), name="lenient", downtime_impacts=frozenset(["complete_outage"]))
    other = contract(FEBRUARY, of="b", plan="lenient")
    outputs = run(
        contract(FEBRUARY),
        other,
        opened("10:00", "material_aspect"),
        resolved("11:00"),
        using=policies(lenient),
        until=FINAL,
    )
    downs = [statements(outputs, tenant)["2026-03"]["downtime_s"] for tenant in ("acme", "b")]
    assert downs == [3600, 0]


def test_r22_no_second_is_counted_twice() -> None:
    lines = [
        opened("10:00", of="a"),
        opened("10:10", of="b", component="ui", tenants=["acme"]),
        resolved("10:30", of="a"),
        opened("10:20", of="c", component="backups", received="10:30"),
        resolved("10:40", of="b"),
        resolved("10:50", of="c"),
        opened("12:00", of="d"),
        resolved("12:10", of="d"),
    ]
    statement = march(*lines)
    assert statement["downtime_s"] == 60 * 60
    assert [(i["start"][11:16], i["end"][11:16]) for i in statement["intervals"]] == [
        ("10:00", "10:50"),
        ("12:00", "12:10"),
    ]


def test_r22_clipped_to_the_month_and_to_the_contract() -> None:
    over_the_edge = [opened("2026-02-28T23:00:00Z"), resolved("2026-03-01T00:30:00Z")]
    outputs = run(contract(FEBRUARY), *over_the_edge, until=FINAL)
    assert [(m, s["downtime_s"]) for m, s in statements(outputs).items()] == [("2026-02", 3600), ("2026-03", 1800)]
    ending = contract(FEBRUARY, end="10:30")
    assert minutes(opened("10:00"), resolved("11:00"), terms=ending) == 30
    tokyo = contract(FEBRUARY, zone="Asia/Tokyo")
    assert minutes(opened("2026-03-31T14:30:00Z"), resolved("2026-03-31T15:30:00Z"), terms=tokyo) == 30


def test_r22_open_outages_run_to_the_statements_instant() -> None:
    outputs = run(contract(FEBRUARY), opened("10:00"), until="1 00:00")
    assert statements(outputs)["2026-03"]["downtime_s"] == 14 * 3600
    assert minutes(opened("2026-03-31T23:00:00Z")) == 60


def test_r23_maintenance_cuts_the_outage_and_the_denominator() -> None:
    window = maintenance("2026-03-01T00:00:00Z", "10:15", "10:45")
    statement = march(window, opened("10:00"), resolved("11:00"))
    assert (statement["downtime_s"], statement["excluded_s"], statement["eligible_s"]) == (1800, 1800, MONTH)
    denominator = statement["availability"]["denominator"]
    assert (MONTH - 1800) % denominator == 0


def test_r23_a_window_excludes_only_the_components_it_names() -> None:
    window = maintenance("2026-03-01T00:00:00Z", "10:15", "10:45", components=["ui"])
    statement = march(window, opened("10:00"), resolved("11:00"))
    assert (statement["downtime_s"], statement["excluded_s"]) == (3600, 0)
    both = [window, opened("10:00"), resolved("10:20")]
    statement = march(*both)
    assert (statement["downtime_s"], statement["excluded_s"]) == (20 * 60, 25 * 60)


@pytest.mark.parametrize(("announced", "excluded"), [("10:00", 1800), ("10:00:01", 0), ("09:00", 1800)])
def test_r23_announced_no_later_than_its_start(announced: str, excluded: int) -> None:
    window = maintenance("10:00", "10:00", "10:30", announced=announced)
    assert march(window)["excluded_s"] == excluded


def test_r23_notice_is_the_policys() -> None:
    strict = replace(shipped(), name="strict", maintenance_notice=24 * 3600 * 10**6)
    using = policies(strict, default="strict")
    terms = contract(FEBRUARY, plan="strict")
    inside = maintenance("1 00:00", "2 00:00", "2 00:30")
    late = maintenance("1 00:00", "1 23:59", "2 00:30", of="m-2")
    assert march(inside, terms=terms, using=using)["excluded_s"] == 1800
    assert march(late, terms=terms, using=using)["excluded_s"] == 0


def test_r23_the_latest_of_an_id_wins_and_a_cancelled_one_excludes_nothing() -> None:
    first = maintenance("2026-03-01T00:00:00Z", "10:00", "11:00")
    second = maintenance("2026-03-01T01:00:00Z", "10:00", "10:10")
    assert march(first, second)["excluded_s"] == 600
    assert march(second | {"receivedtime": "2026-03-01T01:00:00Z"}, first)["excluded_s"] == 600
    assert march(first, maintenance_cancelled("12:00"))["excluded_s"] == 0
    again = run(contract(FEBRUARY), first, first | {"id": "e2"}, until=FINAL)
    assert statements(again)["2026-03"]["excluded_s"] == 3600


EARLY, EIGHT, TEN = "2026-03-01T00:00:00Z", "08:00", "10:00"
#: A change told at 09:30 of a window from 08:00 to 10:00: start, end, components, tenants; then what is down of
#: 08:00–09:20 and what is excluded, in minutes.
EDITS: dict[str, tuple[str, str, list[str], list[str] | None, int, int]] = {
    "shortened": (EIGHT, "09:30", ["api"], None, 0, 90),
    "extended": (EIGHT, "12:00", ["api"], None, 0, 120),
    "another component added": (EIGHT, TEN, ["api", "ui"], None, 0, 120),
    "begun later": ("08:30", TEN, ["api"], None, 30, 90),
    "moved out of its time": ("14:00", "15:00", ["api"], None, 80, 60),
    "its component taken away": (EIGHT, TEN, ["ui"], None, 80, 0),
    "its tenant taken away": (EIGHT, TEN, ["api"], ["other"], 80, 0),
}


@pytest.mark.parametrize("edit", EDITS)
def test_r23_a_change_after_the_start_keeps_the_notice_given_and_adds_nothing_late(edit: str) -> None:
    start, end, components, tenants, down, excluded = EDITS[edit]
    window = maintenance(EARLY, EIGHT, TEN)
    change = maintenance("09:30", start, end, components=components, tenants=tenants, announced="09:30")
    outage = [opened("08:00"), resolved("09:20")]
    for lines in ([window, *outage, change], [change, *outage, window]):
        statement = march(*lines)
        assert (statement["downtime_s"], statement["excluded_s"]) == (down * 60, excluded * 60)


def test_r23_an_extension_of_a_window_that_began_excludes_nothing_more() -> None:
    extended = maintenance("09:30", EIGHT, "12:00", announced="09:30")
    statement = march(maintenance(EARLY, EIGHT, TEN), extended, opened("10:30"), resolved("11:30"))
    assert (statement["downtime_s"], statement["excluded_s"]) == (3600, 7200)
    own = maintenance("09:30", TEN, "12:00", of="m-2", announced="09:30")
    statement = march(maintenance(EARLY, EIGHT, TEN), own, opened("10:30"), resolved("11:30"))
    assert (statement["downtime_s"], statement["excluded_s"]) == (0, 4 * 3600)


def test_r23_what_a_later_change_takes_away_does_not_come_back_late() -> None:
    window, shorter = maintenance(EARLY, EIGHT, TEN), maintenance("08:30", EIGHT, "09:00", announced="08:30")
    longer = maintenance("08:45", EIGHT, TEN, announced="08:45")
    statement = march(window, shorter, longer)
    assert statement["excluded_s"] == 3600
    assert march(window, shorter, maintenance_cancelled("12:00"), longer)["excluded_s"] == 0
    evidence = [(item["kind"], item["id"]) for item in statement["evidence"]]
    assert evidence.count(("maintenance", "m-1")) == 3, "each version decides"


def test_r23_a_window_for_some_tenants_excludes_nothing_for_others() -> None:
    window = maintenance("2026-03-01T00:00:00Z", "10:00", "11:00", tenants=["other"])
    assert march(window)["excluded_s"] == 0


def test_r25_a_month_that_is_all_maintenance_met_its_guarantee() -> None:
    window = maintenance("2026-02-28T00:00:00Z", "2026-02-28T12:00:00Z", "2026-04-02T00:00:00Z")
    statement = march(window, opened("10:00"))
    assert (statement["guarantee_met"], statement["availability"]["percent"]) == (True, "100.000000")
    assert (statement["downtime_s"], statement["excluded_s"]) == (0, MONTH)
