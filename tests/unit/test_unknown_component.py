"""R20: an incident whose component its policy does not name says so, and stops saying so once it is corrected."""

from __future__ import annotations

from dataclasses import replace

from story import opened, policies, reclassified, resolved, responded, run, severity_set, shipped, tell

from streams.sla.policy import Component, Text


def test_r20_a_misspelled_component_is_flagged_until_it_is_corrected() -> None:
    outputs = run(opened("10:00", component="apo"), reclassified("10:05", component="api"), until="10:10")
    assert tell(outputs, "classified") == [
        "classified P1 outage not_covered !unknown_component",
        "classified P1 outage counts",
    ]


def test_r20_the_flag_comes_and_goes_though_nothing_else_changes() -> None:
    """From what is known and not covered to what is unknown: severity, coverage and downtime stay."""
    legacy = Component(Text("Legacy", "旧"), covered=False, guaranteed=False)
    policy = replace(shipped(), name="own", components={**shipped().components, "legacy": legacy})
    moves = [reclassified("10:05", component="apo"), reclassified("10:10", component="legacy")]
    outputs = run(opened("10:00", component="legacy"), *moves, until="10:20", using=policies(policy, default="own"))
    assert tell(outputs, "classified") == [
        "classified P1 outage not_covered",
        "classified P1 outage not_covered !unknown_component",
        "classified P1 outage not_covered",
    ]


def test_r20_a_severity_set_by_hand_does_not_hide_it() -> None:
    outputs = run(opened("10:00", component="apo"), severity_set("10:05", "P2"), until="10:10")
    assert tell(outputs, "classified")[-1] == "classified P2 severity_set not_covered !unknown_component"


def test_r20_every_output_about_the_incident_carries_its_flags() -> None:
    lines = [opened("10:00", tenants=["nobody"]), responded("12:30"), resolved("16:00")]
    outputs = run(*lines, until="17:00")
    kinds = {each["type"]: each["data"]["flags"] for each in outputs}
    assert kinds.keys() >= {"sla.warning", "sla.update_due", "sla.breached", "incident.closed", "impact.changed"}
    assert all(flags == ["no_contract"] for flags in kinds.values())
