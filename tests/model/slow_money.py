"""Amounts for the slow model: every minute of a month is up, down or excluded; then the formula of R25."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from math import ceil, floor
from typing import Any, NamedTuple

from slow_contracts import Contracts, version_at
from slow_outage import Outage
from slow_time import MICROS, minute, month_span, months_between

from streams.sla.policy import CreditRule, Policy

Line = dict[str, Any]
Minutes = set[int]


class Month(NamedTuple):
    """What nothing in a month changes. `entitled`: a claim came by `claimable_until`, or none is needed."""

    currency: str
    end: int
    claimable_until: int
    entitled: bool


@dataclass
class Amounts:
    """One tenant-month; times in minutes (`eligible`: all under contract), money in minor units. `spared`: maintenance
    cut an outage that would count."""

    eligible: int
    downtime: int
    excluded: int
    availability: Fraction
    guarantee_met: bool
    credit_percent: Fraction
    charge: int
    credit: int
    spared: bool
    month: Month


def amounts_of(
    lines: list[Line], contracts: Contracts, outages: list[Outage], until: int, lateness_days: int
) -> dict[tuple[str, str], Amounts]:
    """The amounts of every tenant-month whose final statement is due by `until`."""
    found = {}
    for tenant in contracts.tenants():
        first = contracts.first(tenant)
        zone = first["data"].get("time_zone", "UTC")
        earliest = minute(first["time"]) - lateness_days * 24 * 60
        for month in months_between(min(earliest, *contracts.changes(tenant)), until, zone):
            start, end = month_span(month, zone)
            under = minutes_under_contract(contracts, tenant, start, end)
            if end < earliest or not under:
                continue
            last = under[-1][-1]
            ruling = contracts.ruling(tenant, last)
            assert ruling is not None
            # The last instant under contract, not its last minute, is what decides the version (R25).
            policy = version_at(contracts.policies, ruling["plan"], last)
            final = end + policy.statements.grace // MICROS
            if final <= until:
                claims = [
                    minute(line["time"])
                    for line in lines
                    if (line["type"], line["subject"]) == ("credit.claimed", tenant) and line["data"]["month"] == month
                ]
                claimable = final + policy.credit.claim_within // MICROS
                entitled = policy.credit.claim == "automatic" or any(at <= claimable for at in claims)
                maintained = excluded_minutes(lines, tenant, policy, range(start, end))
                affecting = [each for each in outages if each.tenants is None or tenant in each.tenants]
                currency = first["data"]["monthly_charge"]["currency"]
                fixed = Month(currency, end, claimable, entitled)
                found[tenant, month] = judge(under, ruling, policy, affecting, maintained, fixed)
    return found


def minutes_under_contract(contracts: Contracts, tenant: str, start: int, end: int) -> list[range]:
    """The minutes of a month with a contract, in order; between two changes of contracts it is the same one."""
    edges = [start, *(at for at in contracts.changes(tenant) if start < at < end), end]
    stretches = [range(begin, finish) for begin, finish in pairwise(edges) if begin < finish]
    return [each for each in stretches if contracts.ruling(tenant, each.start) is not None]


def within(minutes: Collection[int], stretches: list[range]) -> Minutes:
    found: Minutes = set()
    for stretch in stretches:
        found.update(filter(stretch.__contains__, minutes))
    return found


def excluded_minutes(lines: list[Line], tenant: str, policy: Policy, month: range) -> dict[str, Minutes]:
    """R23, by component: a minute is excluded if a version announced in time covers it and no later version, nor a
    cancellation, takes it away."""
    found: dict[str, Minutes] = {}
    told = [line for line in lines if line["type"].startswith("maintenance.")]
    for name in sorted({line["subject"] for line in told}):
        facts = sorted((x for x in told if x["subject"] == name), key=lambda x: (minute(x["time"]), x["id"]))
        for component in sorted({each for x in facts for each in x["data"].get("components", ())}):
            covers = [within(covered_by(x, tenant, component), [month]) for x in facts]
            for index, fact in enumerate(facts):
                if covers[index] and announced_in_time(fact, policy):
                    kept = set.intersection(*covers[index:])
                    found[component] = found.get(component, set()) | kept
    return found


def covered_by(fact: Line, tenant: str, component: str) -> Minutes:
    data = fact["data"]
    if fact["type"] == "maintenance.cancelled" or component not in data["components"]:
        return set()
    if data["scope"] != "platform" and tenant not in data["tenant_ids"]:
        return set()
    return set(range(minute(data["start"]), minute(data["end"])))


def announced_in_time(fact: Line, policy: Policy) -> bool:
    notice = minute(fact["data"]["start"]) - minute(fact["data"]["announced_at"])
    return notice >= policy.maintenance_notice // MICROS


def judge(
    under: list[range],
    ruling: Line,
    policy: Policy,
    outages: list[Outage],
    maintained: dict[str, Minutes],
    month: Month,
) -> Amounts:
    low, high = under[0].start, under[-1].stop

    down: Minutes = set()
    reported: Minutes = set()
    for outage in outages:
        counts = outage.impact in policy.downtime_impacts if outage.counts is None else outage.counts
        if counts and policy.guarantees(outage.component):
            hit = within(range(max(low, outage.start), min(high, outage.end)), under)
            reported |= hit
            down |= hit - maintained.get(outage.component, set())
    covered: Minutes = set()
    for component, minutes in maintained.items():
        if policy.guarantees(component):
            covered |= within(minutes, under)
    excluded = covered - down
    eligible = sum(map(len, under))
    denominator = eligible - len(excluded)
    availability = Fraction(denominator - len(down), denominator) if denominator else Fraction(1)
    met = availability * 100 >= policy.guarantee
    percent = credit_percent(availability * 100, policy.credit)
    charge = ruling["monthly_charge"]["amount_minor"]
    credit = round(charge * percent / 100)  # a fraction rounds half to even
    spared = reported != down
    return Amounts(eligible, len(down), len(excluded), availability, met, percent, charge, credit, spared, month)


def credit_percent(available: Fraction, rule: CreditRule) -> Fraction:
    """R25, from a percentage to a percentage."""
    points = max(Fraction(0), rule.below_percent - available)
    match rule.step:
        case "whole":
            points = Fraction(floor(points))
        case "started":
            points = Fraction(ceil(points))
    return min(rule.cap_percent, rule.percent_per_point * points)
