"""R5, R7–R12: what is on the very instant, what comes together, and what follows what was taken back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from story import (
    CUSTOMER,
    Line,
    amended,
    annulled,
    linked,
    merged,
    opened,
    policies,
    policy_applied,
    reclassified,
    requested,
    resolved,
    responded,
    run,
    severity_set,
    shipped,
    tell,
    updated,
    waiting,
    with_severity,
)

from streams.sla.incidents.causes import RETRACTION_CAUSES
from streams.sla.instants import HOUR
from streams.sla.policy import Target

CLOCKS = ("met", "breached", "retracted")
ALERTS = json.loads((Path(__file__).resolve().parents[2] / "schemas/golden/sla.breach_retracted.json").read_text())


def clocks(*lines: Line, until: str | None = None) -> list[str]:
    return tell(run(*lines, until=until), *CLOCKS)


@pytest.mark.parametrize(
    ("received", "warnings"),
    [
        ("10:59:59", ["0.5 11:00", "0.75 11:30", "0.9 11:48"]),
        ("11:00", ["0.5 11:00", "0.75 11:30", "0.9 11:48"]),
        ("11:30", ["0.75 11:30", "0.9 11:48"]),
        ("11:47:59", ["0.75 11:30", "0.9 11:48"]),
        ("11:48", ["0.9 11:48"]),
        ("11:59:59", ["0.9 11:48"]),
        ("12:00", []),
        ("12:00:01", []),
    ],
)
def test_r10_thresholds_due_when_the_deadline_becomes_known_collapse_into_the_highest(
    received: str, warnings: list[str]
) -> None:
    """Time that moves past 12:00 finds the deadline past: none comes beside its breach."""
    told = tell(run(opened("10:00", received=received), until="13:00"), "warning")
    assert told == [f"warning response 1 {each}" for each in warnings]


def test_r10_a_new_deadline_collapses_what_is_past_of_it() -> None:
    lines = [opened("10:00", "material_aspect"), severity_set("11:35", "P1")]
    assert tell(run(*lines, until="12:00"), "warning") == [
        "warning response 1 0.75 11:30",
        "warning response 1 0.9 11:48",
    ]


def test_r10_each_threshold_comes_once_per_deadline() -> None:
    """Away to P2 and back: the deadline of 12:00 was warned of at 11:00 already."""
    lines = [opened("10:00"), severity_set("11:10", "P2"), severity_set("11:20", "P1")]
    assert tell(run(*lines, until="12:00"), "warning") == [
        "warning response 1 0.5 11:00",
        "warning response 1 0.75 11:30",
        "warning response 1 0.9 11:48",
    ]


def test_r10_resolution_is_warned_of_too_and_windows_are_not() -> None:
    own = replace(with_severity(shipped(), "P1", resolution=Target(within=4 * HOUR)), name="own")
    outputs = run(opened("10:00"), responded("10:10"), until="14:00", using=policies(own, default="own"))
    assert tell(outputs, "warning") == [
        "warning resolution 1 0.5 12:00",
        "warning resolution 1 0.75 13:00",
        "warning resolution 1 0.9 13:36",
    ]


def test_r7_a_response_by_a_customer_or_in_private_is_none() -> None:
    others = [responded("10:10", CUSTOMER), updated("10:20", CUSTOMER), updated("10:30", visibility="internal")]
    assert clocks(opened("10:00"), *others, until="12:00") == ["breached response 1 12:00"]


def test_r8_a_late_first_response_does_not_start_window_1_anew() -> None:
    """Window 1 starts at the breach of 12:00, the earlier of the two."""
    told = clocks(opened("10:00"), responded("12:30"), until="13:00")
    assert told == ["breached response 1 12:00", "breached update 1 13:00"]


def test_r8_an_update_at_the_start_of_a_window_does_not_meet_it() -> None:
    told = clocks(opened("10:00"), responded("10:30"), updated("10:30"), until="11:30")
    assert told == ["met response 1 10:30", "breached update 1 11:30"]


@pytest.mark.parametrize("end", [resolved("11:30"), merged("11:30"), annulled("11:30")])
def test_r8_an_end_at_the_deadline_that_arrives_later_takes_the_breach_back(end: Line) -> None:
    late = end | {"receivedtime": "2026-03-02T11:40:00Z"}
    told = clocks(opened("10:00"), responded("10:30"), late, until="14:00")
    assert told[1:3] == ["breached update 1 11:30", f"retracted update 1 11:30 {end['type'].split('.')[1]}"]
    assert len(told) == 3


def test_r9_a_requested_window_breaches_once_and_has_no_successor() -> None:
    told = tell(run(opened("10:00", "cosmetic"), responded("10:10"), requested("11:00"), until="10 00:00"), "breached")
    assert told == ["breached update 1 1 11:00"]


def test_r9_a_reminder_comes_for_each_deadline_of_a_window() -> None:
    """P2 reminds at 12:10 of 12:30; as P1 the window of 10:30 is due at 11:30, and 11:20 is past: at once."""
    lines = [opened("10:00", "material_aspect"), responded("10:30"), severity_set("11:25", "P1")]
    told = tell(run(*lines, severity_set("11:28", "P2"), until="12:30"), "update_due")
    assert told == ["update_due 1 11:20", "update_due 1 12:10"]


def test_r11_a_timer_acts_before_inputs_that_arrive_after_it_and_never_between_those_that_come_together() -> None:
    late = [linked("11:00", received="12:30"), responded("11:30", received="12:30")]
    assert clocks(opened("10:00"), *late)[0] == "breached response 1 12:00"
    together = [linked("12:00"), linked("12:00", "T-2"), responded("12:00")]
    assert clocks(opened("10:00"), *together, until="12:30") == ["met response 1 12:00"]


def test_r11_what_an_input_says_comes_at_once_and_what_time_says_when_time_moves_on() -> None:
    told = tell(run(opened("10:00"), responded("12:00")))
    assert told[-1] == "met response 1 12:00"
    assert clocks(opened("10:00", "cosmetic"), severity_set("12:00", "P1")) == [
        "breached response 1 12:00 reclassified"
    ]
    assert clocks(opened("10:00"), linked("12:00")) == []


def test_r12_an_amendment_changes_no_clock_and_takes_nothing_back() -> None:
    """Response counts from the opening whenever the outage began (R7); whether it counts is the ledger's (R21)."""
    lines = [opened("10:00"), amended("10:30", started="09:00", restored="10:10", counts=False, received="13:30")]
    assert clocks(*lines, until="13:30") == ["breached response 1 12:00", "breached update 1 13:00"]


def test_r12_the_causes_of_retraction_are_these_five() -> None:
    """No other fact has a cause of its own, and each of them is one that the schema knows."""
    assert {*RETRACTION_CAUSES.values(), "late_evidence"} == {
        *("late_evidence", "annulled", "merged", "resolved", "amended")
    }
    assert {f"incident.{cause}" for cause in RETRACTION_CAUSES.values()} == RETRACTION_CAUSES.keys()
    assert ALERTS["data"]["cause"] in {*RETRACTION_CAUSES.values(), "late_evidence"}


@pytest.mark.parametrize(
    "fact",
    [
        reclassified("10:30", component="guest_agent", received="13:30", impact="cosmetic"),
        severity_set("10:30", "P3", received="13:30"),
        reclassified("10:30", component="other", received="13:30"),
        responded("12:00", received="13:30"),
        policy_applied("10:30", "slow", "1", received="13:30"),
    ],
    ids=lambda line: str(line["type"]),
)
def test_r12_everything_else_that_comes_late_is_late_evidence(fact: Line) -> None:
    slow = replace(with_severity(shipped(), "P1", response=Target(within=9 * HOUR)), name="slow")
    told = tell(run(opened("10:00"), fact, using=policies(slow)), "retracted")
    assert told[0] == "retracted response 1 12:00 late_evidence"
    assert all(line.endswith("late_evidence") for line in told)


def test_r12_a_late_pause_takes_a_breach_back() -> None:
    own = replace(with_severity(shipped(), "P1", pause_on=frozenset(["customer"])), name="own")
    lines = [opened("10:00"), waiting("11:00", received="12:30")]
    told = tell(run(*lines, until="20:00", using=policies(own, default="own")), *CLOCKS)
    assert told == ["breached response 1 12:00", "retracted response 1 12:00 late_evidence"]


def test_r12_a_late_response_moves_update_windows_that_were_met() -> None:
    """The update of 12:30 met window 1 of 12:00; with a response at 11:50 it meets the window of 11:50."""
    lines = [opened("10:00"), updated("12:30"), responded("11:50", received="12:40")]
    assert clocks(*lines, until="13:30") == [
        "breached response 1 12:00",
        "met update 1 12:30",
        "retracted response 1 12:00 late_evidence",
        "met response 1 11:50",
        "met update 1 12:30",
        "breached update 2 13:30",
    ]
    deadlines = [
        o["data"]["deadline"] for o in run(*lines) if o["type"] == "sla.met" and o["data"]["metric"] == "update"
    ]
    assert deadlines == ["2026-03-02T13:00:00Z", "2026-03-02T12:50:00Z"]


def test_r12_every_breach_of_a_silent_incident_is_taken_back_one_by_one() -> None:
    told = clocks(opened("10:00"), resolved("10:30", received="16:30"), until="20:00")
    assert told == [
        "breached response 1 12:00",
        *[f"breached update {n} {12 + n}:00" for n in range(1, 5)],
        "retracted response 1 12:00 resolved",
        *[f"retracted update {n} {12 + n}:00 resolved" for n in range(1, 5)],
    ]


def test_r5_what_follows_from_a_backfilled_opening_says_so() -> None:
    outputs = run(opened("10:00", backfill=True), opened("10:00", of="b"), until="13:00")
    marked = {(o["subject"], bool(o.get("backfill"))) for o in outputs if not o["type"].startswith("impact")}
    assert marked == {("inc", True), ("b", False)}


@pytest.mark.parametrize(
    ("received", "backfill", "codes"),
    [
        ("2026-04-06T10:00:00Z", False, []),
        ("2026-04-06T10:00:01Z", False, ["rejected too_late line 1"]),
        ("2026-04-06T10:00:01Z", True, []),
    ],
)
def test_r5_only_history_may_come_after_the_lateness_horizon(received: str, backfill: bool, codes: list[str]) -> None:
    assert tell(run(opened("10:00", received=received, backfill=backfill)), "rejected") == codes
