"""Histories on which the slow model (tests/model) and the product once disagreed, told as small as they get."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from story import (
    contract,
    maintenance,
    opened,
    policies,
    policy_applied,
    reclassified,
    reopened,
    resolved,
    responded,
    run,
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

AFTER = "2026-06-01T00:00:00Z"


def pausing() -> Policies:
    """P1 waits for the customer, and promises to resolve."""
    policy = with_severity(shipped(), "P1", pause_on=frozenset(["customer"]), resolution=Target(within=8 * HOUR))
    return Policies.of([policy], policy.name)


def test_r14_what_is_met_while_a_pause_holds_its_clock_is_met_as_if_the_pause_ended_there() -> None:
    lines = [opened("10:00"), waiting("10:30"), responded("11:00"), waiting_ended("12:00"), resolved("12:10")]
    outputs = run(*lines, using=pausing())
    assert tell(outputs, "met") == ["met response 1 11:00", "met resolution 1 12:10"]
    response = next(output for output in outputs if output["type"] == "sla.met")
    assert response["data"]["deadline"] == "2026-03-02T12:30:00Z"


def test_r14_an_update_window_and_a_resolution_are_met_in_a_pause_too() -> None:
    lines = [opened("10:00"), responded("10:10"), waiting("10:30"), updated("15:00"), resolved("16:00")]
    outputs = run(*lines, until="23:00", using=pausing())
    met = ["met response 1 10:10", "met update 1 15:00", "met resolution 1 16:00"]
    assert tell(outputs, "met", "breached") == met
    closed = next(output for output in outputs if output["type"] == "incident.closed")["data"]["clocks"]
    assert [(each["metric"], each["verdict"], each["deadline"][11:16]) for each in closed][1:] == [
        ("resolution", "met", "23:30"),
        ("update", "met", "15:40"),
    ]


def test_r21_a_reclassification_counts_from_its_own_time_on_in_an_outage_that_reaches_back_over_it() -> None:
    lines = [
        contract("2026-02-20T00:00:00Z"),
        opened("10:00", "cosmetic"),
        resolved("11:00"),
        reclassified("12:00", impact="complete_outage"),
        reopened("12:30", started="11:30"),
        resolved("13:00"),
    ]
    assert statements(run(*lines, until=AFTER))["2026-03"]["downtime_s"] == 3600


def test_r18_applying_the_policy_that_is_in_force_changes_nothing() -> None:
    lines = [opened("10:00"), policy_applied("12:00", "scalr-emergency", "1"), responded("12:00"), resolved("12:30")]
    assert tell(run(*lines, until="20:00"), "met", "breached") == ["met response 1 12:00"]


def test_r2_excluded_time_that_becomes_known_after_the_final_statement_is_adjusted() -> None:
    start, end = "2026-03-10T00:00:00Z", "2026-03-10T01:00:00Z"
    window = maintenance("2026-03-09T00:00:00Z", start, end, received="2026-04-06T00:00:00Z")
    found = statements(run(contract("2026-02-20T00:00:00Z"), window, until=AFTER))["2026-03"]
    assert (found["status"], found["excluded_s"], found["credit"]["amount_minor"]) == ("adjusted", 3600, 0)


def test_r2_a_guarantee_that_another_plan_judges_otherwise_is_adjusted() -> None:
    strict = replace(shipped(), name="strict", guarantee=Fraction("99.99"))
    lines = [
        contract("2026-02-20T00:00:00Z"),
        opened("10:00"),
        resolved("10:10"),
        contract("2026-03-20T00:00:00Z", plan="strict", received="2026-04-06T00:00:00Z"),
    ]
    found = statements(run(*lines, until=AFTER, using=policies(strict)))["2026-03"]
    assert (found["status"], found["guarantee_met"], found["delta"]["amount_minor"]) == ("adjusted", False, 0)
