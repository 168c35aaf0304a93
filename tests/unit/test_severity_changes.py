"""R13–R17: severity changes, pauses, ends and reopenings, and what each does to clocks that run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from story import (
    Line,
    annulled,
    linked,
    merged,
    opened,
    policies,
    reclassified,
    reopened,
    requested,
    resolved,
    responded,
    run,
    severity_set,
    shipped,
    tell,
    updated,
    waiting,
    waiting_ended,
    with_severity,
)


def clocks(*lines: Line, until: str, **more: Any) -> list[str]:
    return tell(run(*lines, until=until, **more), "met", "breached", "closed", "retracted")


def test_r13_an_open_response_gets_the_new_target_from_its_start() -> None:
    outputs = run(opened("10:00"), severity_set("11:00", "P2"), until="14:00")
    assert tell(outputs, "breached") == ["breached response 1 14:00"]
    revisions = [o["data"]["clocks"][0]["deadline_revision"] for o in outputs if o["type"] == "incident.classified"]
    assert revisions == [0, 1]


@pytest.mark.parametrize("fact", [severity_set("13:00", "P1"), reclassified("13:00", impact="complete_outage")])
def test_r13_a_deadline_not_ahead_breaches_at_the_change(fact: Line) -> None:
    """One breach, cause reclassified, and the next update window starts at the change."""
    outputs = run(opened("10:00", "cosmetic"), fact, until="14:00")
    assert tell(outputs, "breached") == [
        "breached response 1 12:00 at 13:00 reclassified",
        "breached update 1 14:00",
    ]
    breach = next(o["data"] for o in outputs if o["type"] == "sla.breached")
    assert (breach["severity"], breach["deadline_revision"]) == ("P1", 1)


def test_r13_a_deadline_at_the_change_is_not_ahead() -> None:
    told = clocks(opened("10:00", "cosmetic"), severity_set("12:00", "P1"), until="13:00")
    assert told == ["breached response 1 12:00 reclassified", "breached update 1 13:00"]


def test_r13_an_open_window_keeps_its_start() -> None:
    lines = [opened("10:00", "material_aspect"), responded("10:30"), severity_set("11:00", "P1")]
    assert clocks(*lines, until="11:30") == ["met response 1 10:30", "breached update 1 11:30"]
    late = [*lines[:2], severity_set("12:00", "P1")]
    assert clocks(*late, until="13:00") == [
        "met response 1 10:30",
        "breached update 1 11:30 at 12:00 reclassified",
        "breached update 2 13:00",
    ]


def test_r13_verdicts_stay() -> None:
    lines = [opened("10:00"), severity_set("12:30", "P3"), severity_set("12:40", "P1")]
    told = clocks(*lines, until="13:00")
    assert told == ["breached response 1 12:00", "breached update 1 13:00"]


def test_r13_new_deadlines_have_their_own_reminders_and_warnings() -> None:
    lines = [opened("10:00", "material_aspect"), responded("10:30"), severity_set("11:00", "P1")]
    assert tell(run(*lines, until="11:30"), "update_due") == ["update_due 1 11:20"]
    told = tell(run(opened("10:00", "material_aspect"), severity_set("11:40", "P1"), until="12:00"), "warning")
    assert told == ["warning response 1 0.75 11:30", "warning response 1 0.9 11:48"]
    back = [opened("10:00"), severity_set("11:10", "P2"), severity_set("11:20", "P1")]
    assert tell(run(*back, until="12:00"), "warning") == [
        "warning response 1 0.5 11:00",
        "warning response 1 0.75 11:30",
        "warning response 1 0.9 11:48",
    ]


def test_r13_to_a_severity_without_regular_updates_and_back() -> None:
    lines = [opened("10:00"), responded("10:30"), severity_set("10:40", "P4"), severity_set("15:00", "P1")]
    told = clocks(*lines, resolved("17:00"), until="18:00")
    assert told == [
        "met response 1 10:30",
        "breached update 2 16:00",
        "closed resolved 17:00 response1=met update1=cancelled update2=breached update3=cancelled",
    ]


def test_r13_back_while_the_response_is_open_starts_no_window() -> None:
    lines = [opened("10:00"), severity_set("10:10", "P4"), severity_set("10:20", "P1")]
    assert clocks(*lines, until="13:00") == ["breached response 1 12:00", "breached update 1 13:00"]


def test_r13_a_requested_window_keeps_its_start_under_regular_updates() -> None:
    lines = [opened("10:00", "cosmetic"), responded("10:30"), requested("11:00"), severity_set("11:30", "P1")]
    assert clocks(*lines, until="13:00") == [
        "met response 1 10:30",
        "breached update 1 12:00",
        "breached update 2 13:00",
    ]


def test_r13_to_not_covered_and_back() -> None:
    away, back = reclassified("11:00", component="other"), reclassified("11:30", component="api")
    assert clocks(opened("10:00"), away, until="15:00") == []
    assert clocks(opened("10:00"), away, back, until="12:00") == ["breached response 1 12:00"]
    late = reclassified("12:30", component="api")
    assert clocks(opened("10:00"), away, late, until="13:30") == [
        "breached response 1 12:00 at 12:30 reclassified",
        "breached update 1 13:30",
    ]
    answered = [opened("10:00"), away, responded("11:10"), late]
    assert clocks(*answered, until="13:30") == ["breached update 1 13:30"]


def test_r13_a_change_after_the_end_moves_no_clock() -> None:
    lines = [opened("10:00", "cosmetic"), resolved("11:00"), severity_set("15:00", "P1")]
    assert clocks(*lines, until="18:00") == ["closed resolved 11:00 response1=cancelled"]


PAUSING = policies(replace(with_severity(shipped(), "P1", pause_on=frozenset(["customer"])), name="own"), default="own")


def test_r14_pauses_move_deadlines() -> None:
    lines = [opened("10:00"), waiting("10:30"), waiting_ended("11:30")]
    assert clocks(*lines, until="14:00", using=PAUSING) == ["breached response 1 13:00", "breached update 1 14:00"]
    assert clocks(*lines[:2], until="20:00", using=PAUSING) == []
    others = [opened("10:00"), waiting("10:30", on="third_party")]
    assert clocks(*others, until="12:00", using=PAUSING) == ["breached response 1 12:00"]
    assert clocks(*lines[:2], until="12:00") == ["breached response 1 12:00"]


def test_r14_a_pause_at_the_deadline_comes_too_late() -> None:
    lines = [opened("10:00"), waiting("12:00"), waiting_ended("13:00")]
    assert clocks(*lines, until="13:30", using=PAUSING) == ["breached response 1 12:00"]


def test_r15_resolving_cancels_what_is_open_and_keeps_what_was_judged() -> None:
    assert clocks(opened("10:00"), resolved("12:00"), until="15:00") == ["closed resolved 12:00 response1=cancelled"]
    assert clocks(opened("10:00"), resolved("12:00:01"), until="15:00") == [
        "breached response 1 12:00",
        "closed resolved 12:00:01 response1=breached update1=cancelled",
    ]


def test_r15_a_breach_before_the_resolution_stands() -> None:
    told = clocks(opened("10:00"), resolved("12:30"), until="15:00")
    assert told == ["breached response 1 12:00", "closed resolved 12:30 response1=breached update1=cancelled"]


def test_r15_reopening_starts_the_next_response_and_window_numbers_run_on() -> None:
    lines = [opened("10:00"), responded("10:30"), resolved("11:00"), reopened("20:00"), responded("21:00")]
    assert clocks(*lines, until="22:00") == [
        "met response 1 10:30",
        "closed resolved 11:00 response1=met update1=cancelled",
        "met response 2 21:00",
        "breached update 2 22:00",
    ]
    silent = clocks(*lines[:4], until="23:00")
    assert silent[2:] == ["breached response 2 22:00", "breached update 2 23:00"]


def test_r15_late_evidence_still_corrects_a_resolved_incident() -> None:
    lines = [opened("10:00"), resolved("12:30"), responded("11:00", received="14:00")]
    assert clocks(*lines, until="15:00") == [
        "breached response 1 12:00",
        "closed resolved 12:30 response1=breached update1=cancelled",
        "retracted response 1 12:00 late_evidence",
        "met response 1 11:00",
        "closed resolved 12:30 response1=met update1=breached update2=cancelled",
        "breached update 1 12:00",
    ]


def test_r2_facts_without_effect_are_kept_and_not_rejected() -> None:
    lines = [opened("10:00"), reopened("10:10"), resolved("10:20"), resolved("10:30"), opened("10:40"), linked("10:50")]
    outputs = run(*lines, until="16:00")
    assert tell(outputs, "closed", "rejected") == ["closed resolved 10:20 response1=cancelled"]
    # An earlier resolution that arrives later gives the reopening its effect.
    told = tell(run(*lines[:3], resolved("10:05", received="10:30"), until="12:00"), "closed", "rejected")
    assert told == [
        "closed resolved 10:20 response1=cancelled",
        "closed resolved 10:20 response1=cancelled response2=cancelled",
    ]


def test_r16_merging_cancels_clocks_and_ends_the_outage() -> None:
    outputs = run(opened("10:00"), responded("10:30"), merged("11:00"), until="15:00")
    assert tell(outputs, "met", "breached", "closed", "changed") == [
        "changed api:complete_outage:10:00–never",
        "met response 1 10:30",
        "closed merged 11:00 response1=met update1=cancelled",
        "changed api:complete_outage:10:00–11:00",
    ]
    cycle = run(opened("10:00"), merged("11:00", into="inc"))
    assert tell(cycle, "rejected") == ["rejected cycle line 2"]


def test_r17_annulling_retracts_every_breach_and_the_downtime() -> None:
    outputs = run(opened("10:00"), resolved("13:30"), annulled("14:00"), reopened("15:00"), until="20:00")
    assert tell(outputs, "breached", "retracted", "closed", "changed") == [
        "changed api:complete_outage:10:00–never",
        "breached response 1 12:00",
        "breached update 1 13:00",
        "closed resolved 13:30 response1=breached update1=breached update2=cancelled",
        "changed api:complete_outage:10:00–13:30",
        "retracted response 1 12:00 annulled",
        "retracted update 1 13:00 annulled",
        "closed annulled 14:00 response1=cancelled update1=cancelled update2=cancelled",
        "changed",
    ]


def test_r17_annulling_needs_four_eyes() -> None:
    alone = annulled("11:00")
    alone["data"]["approver"] = alone["data"]["who"]
    assert tell(run(opened("10:00"), alone), "rejected") == ["rejected four_eyes line 2"]


def test_r8_updates_after_the_end_mean_nothing() -> None:
    lines = [opened("10:00"), resolved("11:00"), updated("11:10"), responded("11:20")]
    assert clocks(*lines, until="15:00") == ["closed resolved 11:00 response1=cancelled"]
