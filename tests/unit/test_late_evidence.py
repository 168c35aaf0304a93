"""R1, R2, R4, R5, R12: meaning follows event time; what was said wrongly is taken back, and nothing is said twice."""

from __future__ import annotations

from itertools import permutations

import pytest
from story import (
    Line,
    amended,
    annulled,
    merged,
    opened,
    reclassified,
    reopened,
    resolved,
    responded,
    rfc,
    run,
    severity_set,
    tell,
    told,
    updated,
)

from streams.serde.cloudevents_headers import INCIDENT_ENDED

CLOCKS = ("met", "breached", "retracted")


def test_r12_a_late_response_retracts_and_moves_the_windows() -> None:
    lines = [opened("10:00"), responded("11:30", received="13:10")]
    assert tell(run(*lines, until="14:30"), *CLOCKS) == [
        "breached response 1 12:00",
        "breached update 1 13:00",
        "retracted response 1 12:00 late_evidence",
        "retracted update 1 13:00 late_evidence",
        "met response 1 11:30",
        "breached update 1 12:30 late_evidence",
        "breached update 2 13:30",
        "breached update 3 14:30",
    ]


def test_r12_a_late_update_moves_the_windows_after_it() -> None:
    lines = [opened("10:00"), responded("10:30"), updated("11:00", received="12:00")]
    assert tell(run(*lines, until="12:00"), *CLOCKS) == [
        "met response 1 10:30",
        "breached update 1 11:30",
        "retracted update 1 11:30 late_evidence",
        "met update 1 11:00",
        "breached update 2 12:00",
    ]


def test_r12_a_verdict_earlier_than_the_one_published_is_published_anew() -> None:
    lines = [opened("10:00"), responded("11:00"), responded("10:30", received="11:10")]
    assert tell(run(*lines), *CLOCKS) == ["met response 1 11:00", "met response 1 10:30"]
    ids = [o["id"] for o in run(*lines) if o["type"] == "sla.met"]
    assert len(set(ids)) == 2


def test_r12_a_met_that_turns_into_a_breach_is_late_evidence() -> None:
    lines = [opened("10:00", "material_aspect"), responded("13:00"), severity_set("10:30", "P1", received="13:10")]
    assert tell(run(*lines, until="13:10"), *CLOCKS) == [
        "met response 1 13:00",
        "breached response 1 12:00 late_evidence",
        "breached update 1 13:00",
    ]


@pytest.mark.parametrize(
    ("fact", "cause"),
    [
        (resolved("11:00", received="13:30"), "resolved"),
        (merged("11:00", received="13:30"), "merged"),
        (annulled("11:00", received="13:30"), "annulled"),
        (updated("11:00", received="13:30"), "late_evidence"),
        (severity_set("11:00", "P4", received="13:30"), "late_evidence"),
    ],
)
def test_r12_causes_of_retraction(fact: Line, cause: str) -> None:
    told = tell(run(opened("10:00"), fact), "retracted")
    assert told == [f"retracted response 1 12:00 {cause}", f"retracted update 1 13:00 {cause}"]


def test_r12_a_late_resolution_keeps_breaches_before_it() -> None:
    told = tell(run(opened("10:00"), resolved("12:30", received="13:30"), until="15:00"), *CLOCKS)
    assert told == ["breached response 1 12:00", "breached update 1 13:00", "retracted update 1 13:00 resolved"]


def test_r12_evidence_at_the_deadline_that_arrives_later_still_counts() -> None:
    told = tell(run(opened("10:00"), responded("12:00", received="12:00:01"), until="12:30"), *CLOCKS)
    assert told == ["breached response 1 12:00", "retracted response 1 12:00 late_evidence", "met response 1 12:00"]


def test_r12_a_retracted_breach_that_follows_again_is_late_evidence() -> None:
    lines = [
        opened("10:00"),
        resolved("11:00", received="12:30"),
        reopened("10:30", received="12:40"),
        resolved("10:20", received="12:50"),
    ]
    told = tell(run(*lines, until="12:30"), *CLOCKS)
    assert told == ["breached response 1 12:00", "retracted response 1 12:00 resolved"]
    # Resolved at 10:20 and reopened at 10:30: the second response runs until the resolution at 11:00.
    assert tell(run(*lines, until="13:00"), *CLOCKS) == told


def test_r2_an_earlier_opening_that_arrives_later_stands() -> None:
    lines = [opened("10:00"), opened("09:00", received="11:30")]
    assert tell(run(*lines, until="12:00"), "breached", "warning", "changed") == [
        "changed api:complete_outage:10:00–never",
        "warning response 1 0.5 11:00",
        "changed api:complete_outage:09:00–never",
        "breached response 1 11:00",
        "breached update 1 12:00",
    ]


def test_r2_facts_earlier_than_the_opening_count_as_at_it() -> None:
    lines = [responded("09:30"), opened("10:00")]
    assert tell(run(*lines, until="11:00"), "met", "breached") == ["met response 1 10:00", "breached update 1 11:00"]


def test_r2_facts_at_the_opening_follow_their_rank_though_early_ones_wait() -> None:
    early, same_time = updated("09:30"), severity_set("10:00", "P2")
    one = tell(run(early, opened("10:00"), same_time, until="13:00"), "met", "breached", "classified")
    other = tell(run(early, same_time, opened("10:00"), until="13:00"), "met", "breached", "classified")
    assert one[-1:] == other[-1:] == ["breached update 1 12:00"]


STORY = [
    opened("10:00", "material_aspect", id="a"),
    responded("11:00", id="b"),
    severity_set("11:30", "P1", id="c"),
    updated("12:10", id="d"),
    resolved("13:40", id="e"),
    reopened("14:00", id="f"),
]


def final(lines: list[Line]) -> tuple[object, ...]:
    outputs = run(*lines, until="18:00")
    standing = {}
    for output in outputs:
        clock = tuple(output["data"].get(key) for key in ("metric", "instance", "deadline"))
        if output["type"] == "sla.breached":
            standing[clock] = output["time"]
        elif output["type"] == "sla.breach_retracted":
            del standing[clock]
    return sorted(standing.items()), tell(outputs, "classified")[-1], tell(outputs, "changed")[-1]


def test_r2_any_order_of_arrival_ends_in_the_same_breaches() -> None:
    expected = final(STORY)
    for order in permutations(STORY[1:]):
        lines = [STORY[0], *order]
        arrivals = [f"{14 + n // 4}:{n % 4 * 10:02d}" for n in range(len(lines))]
        shifted = [
            line | {"receivedtime": f"2026-03-02T{arrival}:00Z"} for line, arrival in zip(lines, arrivals, strict=True)
        ]
        assert final(shifted) == expected


def test_r1_the_same_event_again_is_ignored() -> None:
    lines = [opened("10:00"), responded("10:30", id="r"), responded("10:30", id="r")]
    assert tell(run(*lines)) == tell(run(*lines[:2]))
    assert tell(run(responded("10:30", id="r"), responded("10:30", id="r"), opened("10:00")), "met", "rejected") == [
        "met response 1 10:30"
    ]


@pytest.mark.parametrize("waits", [True, False])
def test_r1_the_same_id_with_other_content_is_a_conflict(waits: bool) -> None:
    first, second = responded("10:30", id="r"), responded("10:40", id="r")
    lines = [first, second, opened("10:00")] if waits else [opened("10:00"), first, second]
    outputs = run(*lines)
    assert tell(outputs, "rejected", "met") == (
        ["rejected conflict line 2", "met response 1 10:30"]
        if waits
        else ["met response 1 10:30", "rejected conflict line 3"]
    )
    other_source = responded("10:10", id="r", source="/pager")
    assert tell(run(opened("10:00"), first, other_source), "rejected") == []
    other_subject = responded("10:40", id="r", of="inc-2")
    assert tell(run(opened("10:00"), first, opened("10:00", of="inc-2"), other_subject), "rejected") == []


def test_r1_a_repetition_is_ignored_however_late_it_comes() -> None:
    """The identity decides before the horizon does: a publisher's late retry is no dead letter."""
    first = responded("10:10", id="r")
    lines = [opened("10:00"), first, opened("40 10:00", of="x"), first | {"receivedtime": rfc("40 10:00")}]
    assert tell(run(*lines), "rejected") == []
    changed = responded("10:20", id="r") | {"receivedtime": rfc("40 10:00")}
    assert tell(run(*lines[:3], changed), "rejected") == ["rejected conflict line 4"]


def test_r1_of_an_evicted_incident_a_marker_stays() -> None:
    lines = [opened("10:00"), resolved("11:00"), opened("130 10:00", of="x"), updated("130 10:00")]
    assert tell(run(*lines), "rejected") == ["rejected too_late line 4"]
    loaded = resolved("10:30") | {"backfill": True}
    assert tell(run(*lines[:3], loaded), "rejected") == ["rejected too_late line 4"]
    assert tell(run(*lines[:2], opened("600 10:00", of="x"), opened("600 10:00")), "rejected") == []


def test_r4_facts_wait_for_their_opening() -> None:
    lines = [responded("10:30"), severity_set("10:40", "P2"), opened("10:00", received="10:50")]
    assert tell(run(*lines), "classified", "met") == ["classified P2 severity_set counts", "met response 1 10:30"]


def test_r4_orphans_are_rejected_once_each() -> None:
    lines = [responded("10:00"), updated("12:00"), opened("1 11:00", of="x"), opened("2 13:00", of="y")]
    outputs = run(*lines)
    assert tell(outputs, "rejected") == ["rejected orphan line 1", "rejected orphan line 2"]
    late = run(responded("10:00"), opened("1 10:00"))
    assert tell(late, "rejected") == []
    again = run(responded("10:00"), opened("1 10:01", of="x"), opened("1 10:02"), until="3 10:00")
    assert tell(again, "rejected", "met") == ["rejected orphan line 1"]


@pytest.mark.parametrize(
    ("time", "received", "code"),
    [
        ("10:05", "10:00", None),
        ("10:05:01", "10:00", "future"),
        ("10:00", "35 10:00", None),
        ("10:00", "35 10:00:01", "too_late"),
    ],
)
def test_r5_times_far_from_their_arrival_are_rejected(time: str, received: str, code: str | None) -> None:
    outputs = run(opened(time, received=received))
    assert tell(outputs, "rejected") == ([] if code is None else [f"rejected {code} line 1"])
    history = run(opened(time, received=received, backfill=True))
    assert tell(history, "rejected") == (["rejected future line 1"] if code == "future" else [])


def test_r5_a_fact_from_the_near_future_is_applied_and_its_deadlines_wait() -> None:
    lines = [opened("10:00"), responded("12:03", received="11:59"), responded("11:58", received="12:01")]
    assert tell(run(*lines, until="12:10"), *CLOCKS) == [
        "breached response 1 12:00",
        "retracted response 1 12:00 late_evidence",
        "met response 1 11:58",
    ]


def test_r3_ids_are_of_what_is_said_and_never_twice() -> None:
    lines = [opened("10:00"), responded("11:30", received="13:10"), reclassified("13:20", impact="cosmetic")]
    ids = [o["id"] for o in run(*lines, amended("13:30", counts=False), until="2 10:00")]
    assert len(set(ids)) == len(ids)
    assert ids == [o["id"] for o in run(*lines, amended("13:30", counts=False), until="2 10:00")]


def late_breaches(*lines: Line, until: str) -> list[str]:
    """Each published breach, and when its incident had ended by then."""
    found = run(*lines, until=until, extensions=True)
    assert {each["type"] for each in found if INCIDENT_ENDED in each} <= {"sla.breached"}
    return [
        f"{each['data']['metric']} {each['data']['instance']} {told(each.get(INCIDENT_ENDED))}"
        for each in found
        if each["type"] == "sla.breached"
    ]


def test_r12_a_breach_that_is_found_after_the_end_says_when_that_was() -> None:
    together = [opened("10:00", received="15:58"), resolved("15:30", received="15:58")]
    assert late_breaches(*together, until="18:00") == [
        "response 1 15:30", "update 1 15:30", "update 2 15:30", "update 3 15:30",
    ]  # fmt: skip
    in_time = [opened("10:00"), resolved("15:30")]
    assert late_breaches(*in_time, until="18:00") == [
        "response 1 never", "update 1 never", "update 2 never", "update 3 never",
    ]  # fmt: skip


def test_r12_late_evidence_after_the_end_and_a_merge() -> None:
    moved = [opened("10:00"), responded("11:00"), updated("11:50"), resolved("12:40")]
    assert late_breaches(*moved, responded("10:20", received="14:00"), until="18:00") == ["update 1 12:40"]
    together = [opened("10:00", received="16:00"), merged("13:00", received="16:00")]
    assert late_breaches(*together, until="18:00") == ["response 1 13:00"]


def test_r12_a_breach_that_is_found_after_a_reopening_is_of_an_open_incident() -> None:
    lines = [
        opened("10:00", received="16:00"),
        resolved("13:30", received="16:00"),
        reopened("15:30", received="16:00"),
    ]
    assert late_breaches(*lines, until="17:00") == ["response 1 never", "update 1 never"]
