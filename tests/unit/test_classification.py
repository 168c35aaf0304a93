"""R18, R20: which severity, coverage, policy and flags an incident gets, for every clause of the shipped policy."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from story import (
    Line,
    contract,
    opened,
    policies,
    policy_applied,
    reclassified,
    run,
    severity_set,
    shipped,
    tell,
    updated,
)

from streams.sla.instants import DAY, HOUR
from streams.sla.policy import Target

FEBRUARY = "2026-02-15T00:00:00Z"


def classified(*lines: Line, **more: Any) -> list[str]:
    return tell(run(*lines, **more), "classified")


@pytest.mark.parametrize(
    ("impact", "tier", "expected"),
    [
        ("complete_outage", None, "P1 outage counts"),
        ("complete_outage", 3, "P1 outage counts"),
        ("critical_performance", None, "P1 outage counts"),
        ("material_aspect", 1, "P1 material-tier-1 counts"),
        ("material_aspect", 2, "P2 material-other-tiers counts"),
        ("material_aspect", 3, "P2 material-other-tiers counts"),
        ("material_aspect", None, "P2 material-other-tiers counts"),
        ("processing_delay", 1, "P3 delay"),
        ("cosmetic", 1, "P4 cosmetic"),
    ],
)
def test_r20_the_first_matching_rule_decides(impact: str, tier: int | None, expected: str) -> None:
    assert classified(opened("10:00", impact, tier=tier)) == [f"classified {expected}"]


@pytest.mark.parametrize(
    ("component", "expected"),
    [
        ("ui", "P1 outage counts"),
        ("api", "P1 outage counts"),
        ("auto_scaling", "P1 outage counts"),
        ("auto_healing", "P1 outage"),
        ("guest_agent", "P1 outage"),
        ("backups", "P1 outage not_covered counts"),
        ("billing_page", "P1 outage not_covered !unknown_component"),
        ("other", "P1 outage not_covered !unknown_component"),
    ],
)
def test_r20_coverage_and_guarantee_are_the_components(component: str, expected: str) -> None:
    outputs = run(opened("10:00", component=component), until="1 10:00")
    assert tell(outputs, "classified") == [f"classified {expected}"]
    covered = "not_covered" not in expected
    assert bool(outputs[0]["data"]["clocks"]) == covered
    assert any(o["type"] in ("sla.breached", "sla.warning") for o in outputs) == covered


def test_r20_no_rule_matches_default_severity_flagged() -> None:
    bare = replace(shipped(), name="bare", rules=())
    using = policies(bare, default="bare")
    assert classified(opened("10:00", "cosmetic"), using=using) == ["classified P2 default !default"]


def test_r20_tenants_without_contract() -> None:
    assert classified(opened("10:00", tenants=["nobody"])) == ["classified P2 default counts !no_contract"]
    one_has = [contract(FEBRUARY, of="b"), opened("10:00", tenants=["a", "b"])]
    assert classified(*one_has) == ["classified P1 outage counts"]
    ended = [contract(FEBRUARY, of="a", end="10:00"), opened("10:00", tenants=["a"])]
    assert classified(*ended) == ["classified P2 default counts !no_contract"]


def test_r20_not_covered_wins() -> None:
    outputs = run(opened("10:00", "cosmetic", component="other", tenants=["nobody"]), until="5 10:00")
    assert tell(outputs, "classified") == ["classified P4 cosmetic not_covered !unknown_component !no_contract"]
    assert not tell(outputs, "breached", "warning")


@pytest.mark.parametrize(
    ("own", "tiers", "expected"),
    [
        (None, [3, 1], "P1 material-tier-1 counts"),
        (None, [3, 2], "P2 material-other-tiers counts"),
        (None, [None, 1], "P1 material-tier-1 counts"),
        (None, [None, None], "P2 material-other-tiers counts"),
        (3, [1], "P2 material-other-tiers counts"),
        (1, [3], "P1 material-tier-1 counts"),
    ],
)
def test_r20_tier_is_the_incidents_own_or_its_tenants_smallest(
    own: int | None, tiers: list[int | None], expected: str
) -> None:
    contracts = [contract(FEBRUARY, of=f"t{n}", tier=tier) for n, tier in enumerate(tiers)]
    opening = opened("10:00", "material_aspect", tenants=[f"t{n}" for n in range(len(tiers))], tier=own)
    assert classified(*contracts, opening) == [f"classified {expected}"]


def test_r20_the_tier_is_the_one_at_the_opening() -> None:
    later = contract(FEBRUARY, "11:00", tier=1)
    lines = [contract(FEBRUARY, tier=3), later, opened("10:00", "material_aspect", tenants=["acme"])]
    assert classified(*lines) == ["classified P2 material-other-tiers counts"]
    assert classified(*lines[:2], opened("11:00", "material_aspect", tenants=["acme"])) == [
        "classified P1 material-tier-1 counts"
    ]


def test_r20_reclassified_tenants_bring_their_own_tier() -> None:
    contracts = [contract(FEBRUARY, of="small", tier=3), contract(FEBRUARY, of="big", tier=1)]
    opening = opened("10:00", "material_aspect", tenants=["small"])
    assert classified(*contracts, opening, reclassified("10:30", tenants=["small", "big"])) == [
        "classified P2 material-other-tiers counts",
        "classified P1 material-tier-1 counts",
    ]
    everyone = reclassified("10:30", scope="platform")
    assert classified(*contracts, opened("10:00", "material_aspect", tenants=["big"]), everyone) == [
        "classified P1 material-tier-1 counts",
        "classified P2 material-other-tiers counts",
    ]


@pytest.mark.parametrize(
    ("members", "channel", "flagged"),
    [([True], "phone", False), ([False], "phone", True), ([False], "ticket", False), ([False, True], "phone", False)],
)
def test_a_phone_call_of_a_non_member_is_flagged(members: list[bool], channel: str, flagged: bool) -> None:
    contracts = [contract(FEBRUARY, of=f"t{n}", member=member) for n, member in enumerate(members)]
    tenants = [f"t{n}" for n in range(len(members))]
    told = classified(*contracts, opened("10:00", tenants=tenants, channel=channel))
    assert told == ["classified P1 outage counts" + (" !channel_not_entitled" if flagged else "")]


def test_r20_of_several_plans_the_earliest_response_deadline_decides() -> None:
    fast = replace(
        shipped(),
        name="fast",
        severities={
            **shipped().severities,
            "P1": replace(shipped().severities["P1"], response=Target(within=HOUR)),
        },
    )
    contracts = [contract(FEBRUARY, of="a"), contract(FEBRUARY, of="b", plan="fast")]
    outputs = run(*contracts, opened("10:00", tenants=["a", "b"]), using=policies(fast))
    assert outputs[0]["data"]["policy"]["name"] == "fast"
    # P3 deadlines agree, so the name does: "fast" < "scalr-emergency".
    outputs = run(*contracts, opened("10:00", "processing_delay", tenants=["b", "a"]), using=policies(fast))
    assert outputs[0]["data"]["policy"]["name"] == "fast"
    platform = run(*contracts, opened("10:00"), using=policies(fast))
    assert platform[0]["data"]["policy"]["name"] == "scalr-emergency"


def test_r20_an_unknown_plan_means_the_default_and_is_flagged() -> None:
    told = classified(contract(FEBRUARY, plan="gold"), opened("10:00", tenants=["acme"]))
    assert told == ["classified P1 outage counts !unknown_plan"]


def test_r20_a_late_contract_fact_refolds() -> None:
    opening = opened("10:00", "material_aspect", tenants=["acme"])
    outputs = run(opening, contract(FEBRUARY, tier=1, received="12:30"), until="13:00")
    assert tell(outputs, "classified", "breached") == [
        "classified P2 default counts !no_contract",
        "classified P1 material-tier-1 counts",
        "breached response 1 12:00",
        "breached update 1 13:00",
    ]


def test_r20_a_late_contract_fact_refolds_after_a_change_of_tenants() -> None:
    lines = [opened("10:00", "material_aspect"), reclassified("10:10", tenants=["acme"])]
    late = contract(FEBRUARY, tier=1, received="10:30")
    assert classified(*lines, late) == [
        "classified P2 material-other-tiers counts",
        "classified P1 material-tier-1 counts",
    ]
    assert classified(late | {"receivedtime": "2026-03-02T09:00:00Z"}, *lines) == [
        "classified P2 material-other-tiers counts",
        "classified P1 material-tier-1 counts",
    ]


def versions() -> list[Any]:
    first = shipped()
    slow = replace(first.severities["P1"], response=Target(within=3 * HOUR))
    second = replace(first, version="2", effective_from=20_514 * DAY + 12 * HOUR, severities=first.severities)
    return [replace(second, severities={**first.severities, "P1": slow})]


@pytest.mark.parametrize(("time", "version"), [("11:59:59", "1"), ("12:00", "2"), ("12:01", "2")])
def test_r18_the_version_in_force_at_the_opening_is_pinned(time: str, version: str) -> None:
    using = policies(*versions())
    outputs = run(opened(time), severity_set("15:00", "P1"), using=using)
    assert outputs[0]["data"]["policy"]["version"] == version
    due = [o for o in outputs if o["type"] == "sla.breached"]
    assert bool(due) == (version == "1")


def test_r18_policy_applied_moves_an_open_incident() -> None:
    using = policies(*versions())
    lines = [opened("11:00"), policy_applied("12:30", "scalr-emergency", "2")]
    assert tell(run(*lines, until="14:00", using=using), "breached") == ["breached response 1 14:00"]
    missing = run(opened("11:00"), policy_applied("12:30", "scalr-emergency", "9"), using=using)
    assert tell(missing, "rejected") == ["rejected invalid line 2"]


def test_r18_a_policy_applied_again_names_flags_that_went_unsaid() -> None:
    """Other tenants changed the flags and nothing else, which is not said; the classification that the applied policy
    calls for has them, though it is the same policy."""
    lines = [
        contract("09:00", of="globex"),
        opened("10:00", "material_aspect", tenants=["acme"]),
        reclassified("10:10", tenants=["globex"]),
        updated("10:20"),
        policy_applied("10:30", "scalr-emergency", "1"),
    ]
    flags = [o["data"]["flags"] for o in run(*lines) if o["type"] == "incident.classified"]
    assert flags == [["no_contract"], []]


def test_r13_by_hand_until_released() -> None:
    lines = [
        opened("10:00"),
        severity_set("10:10", "P3"),
        reclassified("10:20", impact="cosmetic"),
        severity_set("10:30", None),
    ]
    assert classified(*lines) == [
        "classified P1 outage counts",
        "classified P3 severity_set counts",
        "classified P3 severity_set",
        "classified P4 cosmetic",
    ]
