"""Policies that the shipped one leaves untried: pauses, resolution targets, office hours, steps, notice, versions."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from story import shipped, with_credit, with_severity

from streams.sla.instants import DAY, HOUR, MINUTE, format_rfc3339, parse_rfc3339
from streams.sla.policy import BusinessHours, Policies, Policy, Target, UpdateTarget

WEEK = (*[(9 * 60, 17 * 60)] * 5, None, None)
OFFICE = BusinessHours("Europe/Berlin", WEEK, None)


def team() -> Policy:
    """Support in the office hours of Berlin, which waits for the customer, and promises to resolve."""
    policy = replace(shipped(), name="team", digest="team", calendar=OFFICE, maintenance_notice=HOUR)
    policy = with_severity(
        policy, "P1", pause_on=frozenset(["customer", "third_party"]), resolution=Target(within=8 * HOUR)
    )
    policy = with_severity(
        policy,
        "P2",
        response=Target(within=3 * HOUR, clock="business"),
        updates=UpdateTarget(Target(within=90 * MINUTE, clock="business"), remind_before=10 * MINUTE),
        pause_on=frozenset(["customer"]),
    )
    policy = with_severity(policy, "P3", response=None, resolution=Target(business_days=2))
    return with_credit(policy, step="started", claim="automatic")


def retail(version: str, since: str | None) -> Policy:
    """Credit by the fraction, updates only on request; its second version is tighter and answers for all impacts."""
    start = None if since is None else parse_rfc3339(since)
    policy = replace(shipped(), name="retail", version=version, digest=f"retail-{version}", effective_from=start)
    policy = with_credit(policy, step="pro_rata", below_percent=Fraction("99.5"), cap_percent=Fraction(30))
    asked = UpdateTarget(Target(within=45 * MINUTE), on_request=True)
    policy = with_severity(policy, "P1", resolution=Target(within=6 * HOUR), pause_on=frozenset(["customer"]))
    policy = with_severity(
        policy, "P2", updates=asked, resolution=Target(within=20 * HOUR), pause_on=frozenset(["customer"])
    )
    if since is not None:
        policy = with_severity(policy, "P1", response=Target(within=HOUR), pause_on=frozenset(["third_party"]))
        policy = replace(policy, downtime_impacts=policy.downtime_impacts | {"processing_delay"})
    return policy


def shipped_later(since: str) -> Policy:
    """A second version of the default: quicker, it waits for the customer, and credits started points."""
    policy = replace(shipped(), version="2", digest="shipped-2", effective_from=parse_rfc3339(since))
    updates = UpdateTarget(Target(within=45 * MINUTE), remind_before=5 * MINUTE)
    quick = {"response": Target(within=90 * MINUTE), "updates": updates, "pause_on": frozenset(["customer"])}
    return with_credit(with_severity(policy, "P1", **quick), step="started")


def plans(base: int) -> Policies:
    """All of them; the second version of `retail` comes into force a day after `base`, that of the default two days
    after it, or where a month ends in the days that follow."""
    retail_2 = retail("2", format_rfc3339(base + DAY))
    days = [format_rfc3339(base + days * DAY) for days in (1, 2, 3, 4)]
    later = shipped_later(next((day for day in days if day[8:10] == "01"), days[1]))
    return Policies.of([shipped(), later, team(), retail("1", None), retail_2], "scalr-emergency")
