"""R18, R19, R20, R25: whose plan and which version judge what, when tenants, plans and versions differ or change."""

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
    resolved,
    responded,
    run,
    severity_set,
    shipped,
    statements,
    tell,
    with_credit,
    with_severity,
)

from streams.sla.instants import HOUR, parse_rfc3339
from streams.sla.policy import Policies, Policy, Target

FEBRUARY = "2026-02-20T00:00:00Z"
FINAL = "2026-04-04T00:00:00Z"
#: Two percent and a bit of March: 10 % of credit by completed points under 99, 20 % by started ones.
OUTAGE = [opened("10:00"), resolved("1 01:00")]


def gold() -> Policy:
    """Responds within one hour, and credits started points."""
    policy = with_severity(shipped(), "P1", response=Target(within=HOUR))
    return replace(with_credit(policy, step="started"), name="gold")


def second(since: str, **credit: Any) -> Policy:
    """A later version of the shipped policy that credits started points."""
    newer = replace(shipped(), version="2", digest="two", effective_from=parse_rfc3339(since))
    return with_credit(newer, **(credit or {"step": "started"}))


def months(*lines: Line, using: Policies, tenant: str = "acme", until: str = FINAL) -> list[tuple[str, str, str, int]]:
    outputs = run(*lines, until=until, using=using)
    return [
        (o["time"][5:10], d["status"], d["policy"]["version"], d["credit"]["amount_minor"])
        for o in outputs
        if o["type"] == "credit.statement" and (d := o["data"])["month"] == "2026-03" and d["tenant_id"] == tenant
    ]


def test_r20_clocks_follow_the_strictest_plan_and_credits_each_tenants_own() -> None:
    """One incident of three tenants: one on the shipped plan, one on a stricter, one on a plan that nobody knows."""
    terms = [
        contract(FEBRUARY, id="c1"),
        contract(FEBRUARY, of="b", plan="gold", id="c2"),
        contract(FEBRUARY, of="c", plan="tin", id="c3"),
    ]
    listed = [opened("10:00", tenants=["acme", "b", "c"]), resolved("1 01:00")]
    outputs = run(*terms, *listed, until=FINAL, using=policies(gold()))
    alerts = [o for o in outputs if o["type"].startswith(("sla.", "incident."))]
    assert {o["data"]["policy"]["name"] for o in alerts} == {"gold"}
    assert tell(outputs, "breached")[0] == "breached response 1 11:00"
    assert outputs[0]["data"]["flags"] == ["unknown_plan"]
    found = {tenant: statements(outputs, tenant)["2026-03"] for tenant in ("acme", "b", "c")}
    assert {tenant: said["policy"]["name"] for tenant, said in found.items()} == {
        "acme": "scalr-emergency",
        "b": "gold",
        "c": "scalr-emergency",
    }
    assert [said["credit"]["amount_minor"] for said in found.values()] == [10_000, 20_000, 10_000]
    assert [said["flags"] for said in found.values()] == [[], [], ["unknown_plan"]]


def test_r20_a_platform_wide_incident_has_the_default_clocks_and_each_tenants_own_credit() -> None:
    terms = [contract(FEBRUARY, id="c1"), contract(FEBRUARY, of="b", plan="gold", tier=1, id="c2")]
    outputs = run(*terms, *OUTAGE, until=FINAL, using=policies(gold()))
    assert tell(outputs, "breached")[0] == "breached response 1 12:00"
    credits = [statements(outputs, tenant)["2026-03"]["credit"]["amount_minor"] for tenant in ("acme", "b")]
    assert credits == [10_000, 20_000]
    material = run(*terms, opened("10:00", "material_aspect"), using=policies(gold()))
    assert tell(material, "classified") == ["classified P2 material-other-tiers counts"]


def test_r20_the_plans_are_those_at_the_opening_for_good() -> None:
    """Neither a plan that begins later nor tenants who come later change the policy."""
    terms = [contract(FEBRUARY, id="c1"), contract(FEBRUARY, "10:30", plan="gold", id="c2")]
    terms += [contract(FEBRUARY, of="b", plan="gold", id="c3")]
    more = reclassified("10:40", tenants=["acme", "b"])
    outputs = run(*terms, opened("10:00", tenants=["acme"]), more, until="12:00", using=policies(gold()))
    assert tell(outputs, "breached") == ["breached response 1 12:00"]
    assert {o["data"]["policy"]["name"] for o in outputs if o["type"].startswith("sla.")} == {"scalr-emergency"}


def test_r20_a_late_contract_with_a_stricter_plan_takes_its_deadline_along() -> None:
    late = contract(FEBRUARY, plan="gold", received="11:30")
    outputs = run(opened("10:00", tenants=["acme"]), responded("11:20"), late, until="11:40", using=policies(gold()))
    assert tell(outputs, "met", "breached", "retracted")[:2] == [
        "met response 1 11:20",
        "breached response 1 11:00 late_evidence",
    ]


def test_r20_a_tenant_whose_contract_ended_has_none_at_the_opening() -> None:
    over = contract(FEBRUARY, end="10:00", plan="gold", tier=1)
    told = tell(run(over, opened("10:00", tenants=["acme"]), using=policies(gold())), "classified")
    assert told == ["classified P2 default counts !no_contract"]
    one = contract(FEBRUARY, of="b", tier=3, id="c2")
    both = run(over, one, opened("10:00", "material_aspect", tenants=["acme", "b"]), using=policies(gold()))
    assert tell(both, "classified") == ["classified P2 material-other-tiers counts"]


@pytest.mark.parametrize(
    ("since", "told"),
    [
        ("2026-03-20T00:00:00Z", [("03-03", "provisional", "2", 10_000), ("03-04", "provisional", "2", 20_000)]),
        ("2026-03-31T23:59:59.999999Z", [("03-03", "provisional", "2", 10_000), ("03-04", "provisional", "2", 20_000)]),
        ("2026-04-01T00:00:00Z", [("03-03", "provisional", "1", 0), ("03-04", "provisional", "1", 10_000)]),
    ],
)
def test_r18_the_version_in_force_at_the_months_last_instant_judges_all_of_it(
    since: str, told: list[tuple[str, str, str, int]]
) -> None:
    """Also in the provisional statements long before: the version and its beginning are known from its file."""
    final = ("04-04", "final", *told[-1][2:])
    assert months(contract(FEBRUARY), *OUTAGE, using=policies(second(since))) == [*told, final]


def test_r18_under_contract_until_the_10th_the_version_of_the_9th_judges() -> None:
    """The last instant is the month's under contract, in the contract's zone."""
    using = policies(second("2026-03-10T00:00:00Z"))
    assert months(contract(FEBRUARY, end="2026-03-10T00:00:00Z"), *OUTAGE, using=using)[-1][2] == "1"
    assert months(contract(FEBRUARY, end="2026-03-10T00:00:01Z"), *OUTAGE, using=using)[-1][2] == "2"
    tokyo = contract(FEBRUARY, zone="Asia/Tokyo")
    assert months(tokyo, *OUTAGE, using=policies(second("2026-03-31T15:00:00Z")))[-1][2] == "1"
    assert months(tokyo, *OUTAGE, using=policies(second("2026-03-31T14:59:59Z")))[-1][2] == "2"


def test_r18_a_plan_that_changes_in_the_month_is_judged_by_the_last_one() -> None:
    """The provisional statements said before the change was known stand until the next evaluation."""
    change = contract("2026-03-10T06:00:00Z", "2026-03-12T00:00:00Z", plan="gold")
    outputs = run(contract(FEBRUARY), *OUTAGE, change, until=FINAL, using=policies(gold()))
    mine = [o for o in outputs if o["type"] == "credit.statement" and o["data"]["month"] == "2026-03"]
    said = [(o["time"][5:10], o["data"]["policy"]["name"], o["data"]["credit"]["amount_minor"]) for o in mine]
    assert said == [
        ("03-03", "scalr-emergency", 0),
        ("03-04", "scalr-emergency", 10_000),
        ("03-11", "gold", 20_000),
        ("04-04", "gold", 20_000),
    ]


def test_r18_the_judging_version_also_says_when_the_month_closes_and_how_long_it_can_be_claimed() -> None:
    late = second("2026-03-20T00:00:00Z", claim_within=24 * HOUR)
    late = replace(late, statements=replace(late.statements, grace=96 * HOUR))
    outputs = run(contract(FEBRUARY), *OUTAGE, until="2026-04-06T00:00:00Z", using=policies(late))
    final = next(o for o in outputs if o["type"] == "credit.statement" and o["data"]["status"] == "final")
    assert final["data"]["month"] == "2026-02"
    march = statements(outputs)["2026-03"]
    assert (march["status"], march["claimable_until"]) == ("final", "2026-04-06T00:00:00Z")


def test_r18_clocks_keep_the_version_of_the_opening_over_a_reopening_and_a_change_of_severity() -> None:
    newer = with_severity(second("2026-03-02T10:30:00Z"), "P1", response=Target(within=HOUR))
    lines = [opened("10:00"), severity_set("10:40", "P2"), severity_set("10:50", "P1")]
    outputs = run(*lines, opened("10:30", of="b"), until="12:00", using=policies(newer))
    assert [o["data"]["policy"]["version"] for o in outputs if o["type"] == "sla.breached"][:1] == ["2"]
    assert "breached response 1 12:00" in tell([o for o in outputs if o["subject"] == "inc"])
    assert "breached response 1 11:30" in tell([o for o in outputs if o["subject"] == "b"])


def test_r18_policy_applied_moves_the_clocks_and_leaves_the_credits_to_the_contract() -> None:
    lines = [opened("10:00"), policy_applied("10:10", "gold", "1"), resolved("1 01:00")]
    outputs = run(contract(FEBRUARY), *lines, until=FINAL, using=policies(gold()))
    assert tell(outputs, "breached")[0] == "breached response 1 11:00"
    march = statements(outputs)["2026-03"]
    assert (march["policy"]["name"], march["credit"]["amount_minor"]) == ("scalr-emergency", 10_000)


def test_r25_the_charge_is_the_last_one_and_never_prorated() -> None:
    dearer = contract("2026-03-10T00:00:00Z", "2026-03-31T23:00:00Z", charge=300_000)
    march = statements(run(contract(FEBRUARY), *OUTAGE, dearer, until=FINAL))["2026-03"]
    assert march["credit"]["amount_minor"] == 30_000
    begun = contract(FEBRUARY, "2026-03-02T10:00:00Z", end="2026-03-02T20:00:00Z")
    short = statements(run(begun, *OUTAGE, until=FINAL))["2026-03"]
    assert (short["eligible_s"], short["credit"]["amount_minor"]) == (36_000, 100_000)


def test_r19_statements_name_the_versions_of_calendar_and_zones() -> None:
    march = statements(run(contract(FEBRUARY), until=FINAL))["2026-03"]
    assert march["calendar_version"].startswith("holidays")
    assert march["tzdata_version"].startswith("20")
