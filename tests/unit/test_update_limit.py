"""R28: an incident has a limited number of update windows; beyond it none is opened, and the incident is flagged."""

from __future__ import annotations

from story import Line, opened, requested, resolved, responded, run, tell, updated

from streams.sla.arrival import TimeLimits

THREE = TimeLimits(max_update_windows=3)
WINDOWS = ["breached update 1 13:00", "breached update 2 14:00", "breached update 3 15:00"]


def told(*lines: Line, until: str = "1 10:00") -> list[str]:
    return tell(run(*lines, until=until, time_limits=THREE), "breached", "classified", "met", "retracted", "closed")


def test_r28_a_silent_incident_has_as_many_windows_as_the_limit_and_is_flagged_then() -> None:
    assert told(opened("10:00"), resolved("23:00")) == [
        "classified P1 outage counts",
        "breached response 1 12:00",
        *WINDOWS[:2],
        "classified P1 outage counts !update_limit",
        WINDOWS[2],
        "closed resolved 23:00 response1=breached update1=breached update2=breached update3=breached",
    ]


def test_r28_a_window_at_the_limit_can_still_be_met() -> None:
    found = told(
        opened("10:00"), updated("12:30"), updated("13:00"), updated("13:30"), updated("14:00"), resolved("15:00")
    )
    assert found[2:] == [
        "met update 1 12:30",
        "met update 2 13:00",
        "classified P1 outage counts !update_limit",
        "met update 3 13:30",
        "closed resolved 15:00 response1=breached update1=met update2=met update3=met",
    ]


def test_r28_late_evidence_takes_the_flag_away() -> None:
    """The incident was resolved after its first window, which is only told at night."""
    late = resolved("13:30", received="22:00")
    assert told(opened("10:00"), late)[-6:] == [
        "classified P1 outage counts !update_limit",
        WINDOWS[2],
        "classified P1 outage counts",
        "retracted update 2 14:00 resolved",
        "retracted update 3 15:00 resolved",
        "closed resolved 13:30 response1=breached update1=breached update2=cancelled",
    ]


def test_r28_requests_open_no_window_beyond_the_limit() -> None:
    lines = [opened("10:00", "cosmetic"), responded("10:05")]
    for hour in (11, 12, 13, 14):
        lines += [requested(f"{hour}:00"), updated(f"{hour}:30")]
    found = told(*lines, resolved("20:00"))
    assert [line for line in found if line.startswith("met update")] == [
        "met update 1 11:30",
        "met update 2 12:30",
        "met update 3 13:30",
    ]
    assert found[-2:] == [
        "classified P4 cosmetic !update_limit",
        "closed resolved 20:00 response1=met update1=met update2=met update3=met",
    ]
