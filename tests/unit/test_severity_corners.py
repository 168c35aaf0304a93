"""R13–R17: changes of severity with pauses, policies and windows; ends, reopenings, and who may undo what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from story import (
    APPROVER,
    SUPPORT,
    Line,
    amended,
    annulled,
    contract,
    merged,
    opened,
    policies,
    policy_applied,
    reclassified,
    reopened,
    requested,
    resolved,
    responded,
    run,
    severity_set,
    shipped,
    statements,
    tell,
    updated,
    waiting,
    waiting_ended,
    with_severity,
)

from streams.sla.instants import HOUR
from streams.sla.policy import Policies, Target

FEBRUARY = "2026-02-20T00:00:00Z"
FINAL = "2026-04-04T00:00:00Z"
KINDS = ("met", "breached", "retracted", "closed")


def pausing() -> Policies:
    """P1 and P2 wait for the customer, P1 for others too, and promises to resolve within five hours."""
    policy = with_severity(
        shipped(), "P1", pause_on=frozenset(["customer", "third_party"]), resolution=Target(within=5 * HOUR)
    )
    policy = with_severity(policy, "P2", pause_on=frozenset(["customer"]))
    return policies(replace(policy, name="own"), default="own")


def clocks(*lines: Line, until: str | None = None, using: Policies | None = None) -> list[str]:
    return tell(run(*lines, until=until, using=using), *KINDS)


def revisions(outputs: list[Line]) -> list[tuple[str, int]]:
    """The response's deadline and revision in each classification; a deadline that a pause moved has one too."""
    found = [o["data"]["clocks"] for o in outputs if o["type"] == "incident.classified"]
    return [(c["deadline"][11:16], c["deadline_revision"]) for each in found for c in each if c["metric"] == "response"]


def test_r13_the_first_deadline_has_revision_0_and_each_change_one_more() -> None:
    outputs = run(
        opened("10:00"), severity_set("10:10", "P2"), severity_set("10:20", "P3"), severity_set("10:30", "P1")
    )
    assert revisions(outputs) == [("12:00", 0), ("14:00", 1), ("10:00", 2), ("12:00", 3)]
    breach = next(o for o in run(opened("10:00"), severity_set("10:10", "P2"), until="14:00") if "breach" in o["type"])
    assert breach["data"]["deadline_revision"] == 1


def test_r13_the_new_target_counts_from_the_start_with_its_pauses() -> None:
    lines = [opened("10:00"), waiting("10:30"), waiting_ended("11:00"), severity_set("11:10", "P2")]
    outputs = run(*lines, until="14:30", using=pausing())
    assert tell(outputs, "breached") == ["breached response 1 14:30"]
    assert revisions(outputs) == [("12:00", 0), ("14:30", 2)]


def test_r13_a_change_ends_a_pause_that_the_new_severity_does_not_know() -> None:
    """Waiting for others holds P1 only: the half hour until the change is what moves the deadline."""
    lines = [opened("10:00"), waiting("10:30", on="third_party"), severity_set("11:00", "P2")]
    assert tell(run(*lines, until="14:30", using=pausing()), "breached") == ["breached response 1 14:30"]
    back = tell(run(*lines, severity_set("11:10", "P1"), until="20:00", using=pausing()), "breached")
    assert back == []


def test_r13_response_and_requested_window_past_at_one_change_breach_once_each() -> None:
    """The next window starts at the change, and only one."""
    lines = [opened("10:00", "cosmetic"), requested("10:05"), severity_set("15:00", "P1")]
    told = clocks(*lines, until="16:00")
    assert sorted(told) == [
        "breached response 1 12:00 at 15:00 reclassified",
        "breached update 1 11:05 at 15:00 reclassified",
        "breached update 2 16:00",
    ]


def test_r13_a_change_at_the_breached_instant_leaves_the_breach() -> None:
    """At 12:00 the response may still come, so P2 re-aims it; a microsecond later it is breached for good."""
    assert clocks(opened("10:00"), severity_set("12:00", "P2"), until="14:00") == ["breached response 1 14:00"]
    later = severity_set("12:00:01", "P2")
    assert clocks(opened("10:00"), later, until="14:00") == ["breached response 1 12:00", "breached update 1 14:00"]


def test_r13_an_answer_while_not_covered_leaves_the_response_cancelled() -> None:
    lines = [
        opened("10:00"),
        reclassified("10:30", component="other"),
        responded("10:40"),
        reclassified("11:00", component="api"),
    ]
    assert clocks(*lines, until="12:00") == ["breached update 1 12:00"]


def test_r13_by_hand_also_beats_a_later_change_of_tier_and_tenants() -> None:
    lines = [contract(FEBRUARY, tier=1), opened("10:00", "material_aspect"), severity_set("10:10", "P3")]
    lines += [reclassified("10:20", tier=1), reclassified("10:30", tenants=["acme"])]
    told = tell(run(*lines), "classified")
    assert told == ["classified P2 material-other-tiers counts", "classified P3 severity_set counts"]
    released = tell(run(*lines, severity_set("10:40", None)), "classified")
    assert released[2:] == ["classified P1 material-tier-1 counts"]


def test_r13_a_policy_applied_re_aims_as_a_change_of_severity_does() -> None:
    strict = replace(with_severity(shipped(), "P1", response=Target(within=HOUR)), name="strict")
    silent = replace(with_severity(shipped(), "P1", response=None), name="silent")
    using = policies(strict, silent)
    applied = policy_applied("11:30", "strict", "1")
    assert clocks(opened("10:00"), applied, until="12:30", using=using) == [
        "breached response 1 11:00 at 11:30 reclassified",
        "breached update 1 12:30",
    ]
    nothing = policy_applied("11:30", "silent", "1")
    assert clocks(opened("10:00"), nothing, until="1 00:00", using=using) == []


def test_r14_either_of_two_waits_holds_the_clock_and_each_ends_by_itself() -> None:
    lines = [opened("10:00"), waiting("10:30"), waiting("10:40", on="third_party"), waiting_ended("11:00")]
    lines += [waiting_ended("11:30", on="third_party"), waiting_ended("11:40")]
    assert tell(run(*lines, until="13:00", using=pausing()), "breached") == ["breached response 1 13:00"]


def test_r14_resolution_rests_with_the_others_and_downtime_never_does() -> None:
    lines = [contract(FEBRUARY, plan="own"), opened("10:00"), responded("10:05"), waiting("10:10"), resolved("22:00")]
    outputs = run(*lines, until=FINAL, using=pausing())
    assert tell(outputs, "breached") == []
    assert statements(outputs)["2026-03"]["downtime_s"] == 12 * 3600


def test_r15_a_second_after_the_deadline_the_breach_stands() -> None:
    assert clocks(opened("10:00"), resolved("12:00:01"), until="15:00") == [
        "breached response 1 12:00",
        "closed resolved 12:00:01 response1=breached update1=cancelled",
    ]


def test_r15_nobody_is_awaited_after_a_reopening_and_resolution_starts_anew() -> None:
    lines = [opened("10:00"), waiting("10:10"), resolved("10:30"), reopened("11:00")]
    assert tell(run(*lines, until="16:00", using=pausing()), "met", "breached") == [
        "met resolution 1 10:30",
        "breached response 2 13:00",
        *[f"breached update {n} {13 + n}:00" for n in (1, 2)],
        "breached resolution 2 16:00",
        "breached update 3 16:00",
    ]


def test_r15_each_end_is_told_and_told_again_only_when_a_verdict_changes() -> None:
    lines = [opened("10:00"), responded("10:30"), resolved("11:00"), reopened("12:00"), resolved("12:30")]
    noise = updated("10:45", visibility="internal", received="13:00")
    assert tell(run(*lines, noise), "closed") == [
        "closed resolved 11:00 response1=met update1=cancelled",
        "closed resolved 12:30 response1=met update1=cancelled response2=cancelled",
    ]
    breaching = severity_set("10:00", "P4", received="13:00")
    assert tell(run(*lines, breaching), "closed")[2:] == [
        "closed resolved 12:30 response1=met response2=cancelled",
    ]


def test_r15_old_verdicts_stand_after_a_reopening() -> None:
    lines = [opened("10:00"), resolved("12:30"), reopened("13:00"), responded("13:10"), resolved("13:20")]
    outputs = run(*lines, until="15:00")
    assert tell(outputs, "breached", "retracted", "met") == ["breached response 1 12:00", "met response 2 13:10"]


def test_r16_the_merged_incidents_tenants_and_evidence_stay_its_own() -> None:
    """The union counts both once; of the merged one until it was merged, for its tenants only."""
    lines = [
        contract(FEBRUARY, id="c1"),
        contract(FEBRUARY, of="b", id="c2"),
        opened("10:00", tenants=["acme"], component="ui"),
        opened("10:30", of="other", tenants=["b"]),
        merged("11:00", "other"),
        resolved("12:00", of="other"),
    ]
    outputs = run(*lines, until=FINAL)
    assert statements(outputs)["2026-03"]["downtime_s"] == 3600
    assert statements(outputs, "b")["2026-03"]["downtime_s"] == 90 * 60
    assert tell(run(opened("10:00"), merged("11:00", "inc")), "rejected") == ["rejected cycle line 2"]


MAKERS: list[Callable[..., Line]] = [annulled, amended, policy_applied]
ARGUMENTS: dict[Any, dict[str, Any]] = {amended: {"counts": False}, policy_applied: {"policy": "x", "version": "1"}}


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize(
    "people",
    [
        {"approver": SUPPORT},
        {"who": {"kind": "support"}},
        {"approver": {"kind": "support"}},
        {"approver": {"kind": "customer", "id": "ann"}},
    ],
    ids=["same", "nobody", "no approver", "same id, other kind"],
)
def test_r17_two_different_people_are_needed(make: Callable[..., Line], people: Line) -> None:
    line = make("11:00", **ARGUMENTS.get(make, {}))
    alone = line | {"data": line["data"] | {"who": SUPPORT, "approver": APPROVER} | people}
    assert tell(run(opened("10:00"), alone), "rejected") == ["rejected four_eyes line 2"]
    missing = {key: value for key, value in line["data"].items() if key != "approver"}
    assert tell(run(opened("10:00"), line | {"data": missing}), "rejected") == ["rejected four_eyes line 2"]


def test_r17_annulled_before_anything_was_said_leaves_nothing_to_retract() -> None:
    outputs = run(opened("10:00"), annulled("10:30"), until="20:00")
    assert tell(outputs, *KINDS) == ["closed annulled 10:30 response1=cancelled"]
    assert tell(outputs, "changed")[-1] == "changed"


def test_r17_what_comes_after_an_annulment_brings_no_breach_and_no_downtime_back() -> None:
    lines = [
        opened("10:00"),
        annulled("10:30"),
        reopened("11:00"),
        severity_set("11:10", "P1"),
        amended("11:20", counts=True),
    ]
    outputs = run(contract(FEBRUARY), *lines, until=FINAL)
    assert tell(outputs, "breached") == []
    assert statements(outputs)["2026-03"]["downtime_s"] == 0
