"""R9: reminders count on the clock of their deadline: business time on a business clock, without its pauses."""

from __future__ import annotations

from dataclasses import replace

import pytest
from story import opened, policies, resolved, responded, run, shipped, tell, waiting, waiting_ended, with_severity

from streams.sla.instants import HOUR, MINUTE
from streams.sla.policy import BusinessHours, Target, UpdateTarget

OFFICE = BusinessHours("UTC", (*[(9 * 60, 17 * 60)] * 5, None, None), None)


@pytest.mark.parametrize(
    ("reported", "answered", "window"),
    [
        (
            "4 15:00",
            "4 15:45",
            ["update_due 1 4 16:45", "breached update 1 7 09:15"],
        ),
        ("4 11:30", "4 12:00", ["update_due 1 4 13:00", "breached update 1 4 13:30"]),
        ("4 15:00", "4 16:00", ["update_due 1 4 17:00", "breached update 1 7 09:30"]),  # on the closing instant
        ("4 16:00", "4 16:45", ["update_due 1 7 09:45", "breached update 1 7 10:15"]),
    ],
)
def test_r9_reminders_of_a_business_clock_count_business_time(reported: str, answered: str, window: list[str]) -> None:
    updates = UpdateTarget(Target(within=90 * MINUTE, clock="business"), remind_before=30 * MINUTE)
    office = replace(with_severity(shipped(), "P1", updates=updates), name="office", calendar=OFFICE)
    lines = [opened(reported), responded(answered), resolved("7 11:00")]
    outputs = run(*lines, until="8 00:00", using=policies(office, default="office"))
    assert tell(outputs, "update_due", "breached")[:2] == window


def test_r9_a_reminder_counts_no_pause_of_its_clock() -> None:
    """Thirty minutes are left at 11:10, then it is paused for an hour; the new deadline's reminder comes at once."""
    updates = UpdateTarget(Target(within=HOUR), remind_before=30 * MINUTE)
    policy = with_severity(shipped(), "P1", updates=updates, pause_on=frozenset(["customer"]))
    lines = [opened("10:00"), responded("10:40"), waiting("11:20"), waiting_ended("12:20"), resolved("12:41")]
    outputs = run(*lines, until="13:00", using=policies(replace(policy, name="paused"), default="paused"))
    assert tell(outputs, "update_due", "breached") == [
        "update_due 1 11:10",
        "update_due 1 11:10",
        "breached update 1 12:40",
    ]
