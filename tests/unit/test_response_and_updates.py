"""R7–R11: response clocks, update windows, reminders, warnings, requests, to the instant; verdicts at the deadline."""

from __future__ import annotations

from dataclasses import replace

import pytest
from story import (
    CUSTOMER,
    Line,
    annulled,
    merged,
    opened,
    policies,
    requested,
    resolved,
    responded,
    run,
    shipped,
    tell,
    updated,
    with_severity,
)

from streams.sla.instants import HOUR
from streams.sla.policy import Responds, Target

IMPACTS = {"P1": "complete_outage", "P2": "material_aspect", "P3": "processing_delay", "P4": "cosmetic"}


@pytest.mark.parametrize(("severity", "due"), [("P1", "12:00"), ("P2", "14:00"), ("P3", "1 10:00"), ("P4", "1 10:00")])
def test_r7_a_response_at_the_deadline_is_met_and_one_after_it_earns_nothing(severity: str, due: str) -> None:
    opening = opened("10:00", IMPACTS[severity])
    in_time = run(opening, responded(due), until=due + ":01")
    assert tell(in_time, "met", "breached") == [f"met response 1 {due}"]
    late = run(opening, responded(due + ":01"), until=due + ":01")
    assert tell(late, "met", "breached") == [f"breached response 1 {due}"]


def test_r7_response_is_measured_from_the_report_not_from_the_outage() -> None:
    told = tell(run(opened("10:00", started="08:00"), until="12:00"), "breached")
    assert told == ["breached response 1 12:00"]


@pytest.mark.parametrize(
    ("fact", "responds"),
    [
        (responded("10:30"), True),
        (updated("10:30"), True),
        (updated("10:30", visibility="internal"), False),
        (updated("10:30", who=CUSTOMER), False),
        (responded("10:30", who=CUSTOMER), False),
        (responded("10:30", who={"kind": "system"}), False),
    ],
)
def test_r7_what_qualifies_as_a_response(fact: Line, responds: bool) -> None:
    told = tell(run(opened("10:00"), fact, until="12:00"), "met", "breached")
    assert told == (["met response 1 10:30", "breached update 1 11:30"] if responds else ["breached response 1 12:00"])


def test_r7_the_policy_says_what_responds() -> None:
    by_monitor = replace(shipped(), name="own", responds=(Responds("incident.responded", frozenset(["monitor"])),))
    lines = [opened("10:00"), updated("10:10"), responded("10:20"), responded("10:30", who={"kind": "monitor"})]
    assert tell(run(*lines, using=policies(by_monitor, default="own")), "met") == ["met response 1 10:30"]


def test_r7_resolution_works_alike() -> None:
    own = replace(with_severity(shipped(), "P1", resolution=Target(within=3 * HOUR)), name="own")
    using = policies(own, default="own")
    told = tell(run(opened("10:00"), resolved("13:00"), using=using, until="14:00"), "met", "breached", "closed")
    assert told == [
        "breached response 1 12:00",
        "met resolution 1 13:00",
        "closed resolved 13:00 response1=breached resolution1=met update1=cancelled",
    ]
    told = tell(run(opened("10:00"), resolved("13:01"), using=using, until="14:00"), "met", "breached")
    assert told == ["breached response 1 12:00", "breached resolution 1 13:00", "breached update 1 13:00"]
    warned = tell(run(opened("10:00"), responded("10:01"), until="13:00", using=using), "warning")
    assert warned == [
        "warning resolution 1 0.5 11:30",
        "warning resolution 1 0.75 12:15",
        "warning resolution 1 0.9 12:42",
    ]


def test_r8_the_update_that_is_the_first_response_only_opens_window_1() -> None:
    told = tell(run(opened("10:00"), updated("10:30"), until="11:30"), "met", "breached")
    assert told == ["met response 1 10:30", "breached update 1 11:30"]


def test_r8_updates_meet_windows_and_each_starts_the_next() -> None:
    lines = [opened("10:00"), responded("10:30"), updated("11:30"), updated("11:40"), updated("11:40:30")]
    assert tell(run(*lines, until="12:41"), "met", "breached") == [
        "met response 1 10:30",
        "met update 1 11:30",
        "met update 2 11:40",
        "met update 3 11:40:30",
        "breached update 4 12:40:30",
    ]


def test_r8_two_updates_of_one_instant_meet_one_window() -> None:
    lines = [opened("10:00"), responded("10:30"), updated("11:00"), updated("11:00")]
    assert tell(run(*lines), "met") == ["met response 1 10:30", "met update 1 11:00"]


@pytest.mark.parametrize(
    "fact", [responded("11:00"), updated("11:00", visibility="internal"), updated("11:00", who=CUSTOMER)]
)
def test_r8_only_public_updates_by_support_end_a_window(fact: Line) -> None:
    told = tell(run(opened("10:00"), responded("10:30"), fact, until="11:30"), "met", "breached")
    assert told == ["met response 1 10:30", "breached update 1 11:30"]


def test_r8_a_silent_incident_breaches_once_per_window() -> None:
    told = tell(run(opened("10:00"), until="15:00"), "breached")
    assert told == ["breached response 1 12:00", *(f"breached update {n} {12 + n}:00" for n in (1, 2, 3))]


def test_r8_a_late_response_joins_the_windows_that_the_breach_began() -> None:
    lines = [opened("10:00"), updated("12:20"), responded("12:30")]
    assert tell(run(*lines, until="13:20"), "met", "breached") == [
        "breached response 1 12:00",
        "met update 1 12:20",
        "breached update 2 13:20",
    ]


@pytest.mark.parametrize("end", [resolved("11:30"), merged("11:30"), annulled("11:30")])
def test_r8_an_end_at_exactly_the_deadline_cancels_the_window(end: Line) -> None:
    told = tell(run(opened("10:00"), responded("10:30"), end, until="14:00"), "breached", "closed")
    reason = end["type"].removeprefix("incident.")
    assert told == [f"closed {reason} 11:30 response1=met update1=cancelled"]


@pytest.mark.parametrize(
    ("severity", "met", "reminders"),
    [
        ("P1", "10:30", ["update_due 1 11:20", "update_due 2 12:20"]),
        ("P2", "10:30", ["update_due 1 12:10", "update_due 2 14:10"]),
        ("P3", "10:30", ["update_due 1 15:30", "update_due 2 21:30"]),
    ],
)
def test_r9_reminders_come_before_each_deadline(severity: str, met: str, reminders: list[str]) -> None:
    told = tell(run(opened("10:00", IMPACTS[severity]), responded(met), until="22:00"), "update_due")
    assert told[:2] == reminders


def test_r9_no_reminder_of_a_window_that_was_met() -> None:
    lines = [opened("10:00"), responded("10:30"), updated("11:20"), resolved("12:00")]
    assert tell(run(*lines, until="13:00"), "update_due") == []


def test_r9_a_reminder_past_when_the_deadline_becomes_known_comes_at_once() -> None:
    opening, late = opened("10:00"), responded("10:30", received="11:25")
    outputs = run(opening, late, until="11:26")
    assert tell(outputs, "met", "update_due") == ["met response 1 10:30", "update_due 1 11:20"]
    past = run(opening, responded("10:30", received="11:31"), until="11:31")
    assert tell(past, "update_due", "breached") == ["breached update 1 11:30"]


def test_r9_updates_on_request() -> None:
    lines = [opened("10:00", "cosmetic"), responded("10:30"), requested("11:00"), requested("12:00")]
    outputs = run(*lines, until="4 12:00")
    assert tell(outputs, "update_due", "met", "breached") == [
        "met response 1 10:30",
        "update_due 1 11:00 requested",
        "breached update 1 1 11:00",
    ]
    answered = run(*lines, updated("1 11:00"), requested("1 12:00"), until="4 12:00")
    assert tell(answered, "update_due", "met", "breached") == [
        "met response 1 10:30",
        "update_due 1 11:00 requested",
        "met update 1 1 11:00",
        "update_due 2 1 12:00 requested",
        "breached update 2 2 12:00",
    ]


def test_r9_a_request_before_the_response_starts_a_window_at_once() -> None:
    lines = [opened("10:00", "cosmetic"), requested("10:10"), updated("10:20")]
    told = tell(run(*lines, until="3 10:00"), "met", "breached", "update_due")
    assert told == ["update_due 1 10:10 requested", "met update 1 10:20", "met response 1 10:20"]


def test_r9_a_request_has_no_effect_on_regular_windows() -> None:
    lines = [opened("10:00"), requested("10:10"), responded("10:30"), requested("10:40")]
    assert tell(run(*lines, until="11:00"), "update_due", "met") == ["met response 1 10:30"]


def test_r10_warnings_at_the_thresholds() -> None:
    told = tell(run(opened("10:00", "processing_delay"), until="1 09:59"), "warning")
    assert told == ["warning response 1 0.5 22:00", "warning response 1 0.75 1 04:00", "warning response 1 0.9 1 07:36"]


def test_r10_warnings_count_business_time() -> None:
    # Due Tuesday 10:00, eight business hours after Monday 10:00.
    told = tell(run(opened("10:00", "cosmetic"), until="1 09:59"), "warning")
    assert told == ["warning response 1 0.5 14:00", "warning response 1 0.75 16:00", "warning response 1 0.9 1 09:12"]


def test_r10_thresholds_past_when_the_deadline_becomes_known_collapse_into_the_highest() -> None:
    told = tell(run(opened("10:00", received="11:30"), until="12:00"), "warning", "breached")
    assert told == ["warning response 1 0.75 11:30", "warning response 1 0.9 11:48", "breached response 1 12:00"]
    past = tell(run(opened("10:00", received="12:30"), until="12:30"), "warning", "breached")
    assert past == ["breached response 1 12:00"]


def test_r10_no_warning_once_met() -> None:
    assert tell(run(opened("10:00"), responded("11:00"), until="11:59"), "warning") == []


def test_r11_time_driven_outputs_come_only_when_time_moves_on_past_an_arrival() -> None:
    assert tell(run(opened("10:00"), opened("12:00", of="x")), "breached") == []
    told = tell(run(opened("10:00"), opened("12:00", of="x"), responded("12:00"), opened("12:01", of="y")), "breached")
    assert told == []
    assert tell(run(opened("10:00"), opened("12:01", of="x")), "breached") == ["breached response 1 12:00"]


def test_r11_a_breach_is_of_its_deadline_and_detected_when_it_was_seen() -> None:
    late = run(opened("10:00", received="13:30"), until="13:30")
    breach = next(o for o in late if o["type"] == "sla.breached")
    assert (breach["time"][11:16], breach["data"]["detected_at"][11:16]) == ("12:00", "13:30")
