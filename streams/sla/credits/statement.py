"""Computes a tenant-month (R21–R25): downtime from impacts, maintenance and contract, then availability and credit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from hashlib import sha256
from itertools import chain
from typing import Any, NamedTuple

from streams.sla.contracts import Span
from streams.sla.credits import formula
from streams.sla.credits.intervals import Interval, intersect, measure, subtract, union, union_steps
from streams.sla.credits.maintenance import MaintenancePlan
from streams.sla.credits.work_steps import ITEMS_PER_STEP, Steps, finish
from streams.sla.events import Position
from streams.sla.evidence import PositionsSummary
from streams.sla.impact import Impact, ImpactCopy
from streams.sla.instants import Month
from streams.sla.policy import Policy


class Period(NamedTuple):
    start: int
    end: int
    zone: str


@dataclass(frozen=True, slots=True)
class MonthResult:
    """The computed terms of a tenant-month, independent of a statement's status and revision. Durations in
    microseconds, amounts in minor units of `currency`, evidence as (kind, id, position), sorted. `summarized` are the
    incidents whose own positions are summarised."""

    month: Month
    period: Period
    policy: Policy
    eligible: int
    excluded: int
    downtime: int
    intervals: tuple[Interval, ...]
    exclusions: tuple[Interval, ...]
    available: Fraction
    percent: Fraction
    charge: int
    credit: int
    currency: str
    evidence: tuple[tuple[str, str, Position], ...]
    summarized: tuple[tuple[str, PositionsSummary], ...]

    @property
    def evidence_ids(self) -> list[tuple[str, str]]:
        """Kind and id of what decided, sorted, each once."""
        # Evidence is sorted, so that its ids need no sorting anew, which takes long for many.
        listed = dict.fromkeys((kind, name) for kind, name, _ in self.evidence)
        return sorted(listed | dict.fromkeys(("incident", name) for name, _ in self.summarized))

    @property
    def guarantee_met(self) -> bool:
        return self.available * 100 >= self.policy.guarantee

    @property
    def settled(self) -> tuple[int, int, int, int, int]:
        """A change of one of these after the final statement needs an adjustment (R26). Excluded time is one of them:
        availability is measured without it and must not depend on the order of arrival (R2)."""
        return self.downtime, self.eligible, self.charge, self.credit, self.excluded

    @property
    def basis(self) -> str:
        """Digest of everything else whose change needs an adjustment (R32): the month's bounds, the currency, the
        policy, the downtime and exclusion intervals."""
        policy = self.policy.name, self.policy.version
        spans = [tuple(one) for one in (self.period, *self.intervals, *self.exclusions)]
        return sha256(repr((spans, len(self.exclusions), self.currency, policy)).encode()).hexdigest()[:16]


def counts(policy: Policy, impact: Impact) -> bool:
    """Whether an interval is downtime under a tenant's own plan (R21)."""
    if not policy.guarantees(impact.component):
        return False
    return impact.impact in policy.downtime_impacts if impact.counts is None else impact.counts


def month_steps(
    tenant: str,
    month: Month,
    period: Period,
    spans: Sequence[Span],
    policy: Policy,
    impacts: Iterable[ImpactCopy],
    maintenance: Iterable[MaintenancePlan],
    instant: int,
    currency: str,
) -> Steps[MonthResult]:
    """Compute a tenant-month as of an instant: open outages run to it. `spans` are the terms in force within the
    month; the last one's charge and plan apply, never prorated (R25)."""
    contracted = union((span.start, span.end) for span in spans)
    evidence: list[tuple[str, str, Position]] = [("contract", s.contract.id, s.contract.position) for s in spans]
    summarized: list[tuple[str, PositionsSummary]] = []
    windows = yield from _windows(tenant, period, policy, maintenance, evidence)
    outages = yield from _outages(tenant, period, policy, impacts, instant, evidence, summarized)
    long = sum(map(len, outages.values())) + sum(map(len, windows.values())) > ITEMS_PER_STEP
    excluded_by: dict[str, list[Interval]] = {}
    for component, excluded_windows in windows.items():
        if long:
            yield
        excluded_by[component] = union(excluded_windows)
    down: list[Interval] = []
    for component, found in outages.items():
        united = (yield from union_steps(found)) if long else union(found)
        down += subtract(united, excluded_by.get(component, ()))
        if long:
            yield
    intervals = intersect((yield from union_steps(down)) if long else union(down), contracted)
    if long:
        yield
    maintained = intersect(union(chain.from_iterable(excluded_by.values())), contracted)
    exclusions = subtract(maintained, intervals)
    eligible, excluded, downtime = measure(contracted), measure(exclusions), measure(intervals)
    available = formula.availability(eligible, excluded, downtime)
    percent = formula.credit_percent(policy.credit, available)
    charge = spans[-1].contract.charge.amount_minor if spans else 0
    if long:
        yield
    return MonthResult(
        month=month,
        period=period,
        policy=policy,
        eligible=eligible,
        excluded=excluded,
        downtime=downtime,
        intervals=tuple(intervals),
        exclusions=tuple(exclusions),
        available=available,
        percent=percent,
        charge=charge,
        credit=formula.credit_amount(charge, percent),
        currency=currency,
        evidence=tuple(sorted(evidence)),
        summarized=tuple(sorted(summarized)),
    )


def _windows(
    tenant: str,
    period: Period,
    policy: Policy,
    maintenance: Iterable[MaintenancePlan],
    evidence: list[tuple[str, str, Position]],
) -> Steps[dict[str, list[Interval]]]:
    """The excluded intervals by component, as they come; what excludes is added to `evidence`."""
    windows: dict[str, list[Interval]] = {}
    looked_at = 0
    for plan in maintenance:
        excludes = False
        for component in filter(policy.guarantees, plan.components):
            looked_at += len(plan.versions)
            for start, end in plan.excluded(tenant, component, policy.maintenance_notice):
                if start < period.end and end > period.start:
                    excludes = True
                    window = Interval(max(start, period.start), min(end, period.end))
                    windows.setdefault(component, []).append(window)
        if excludes:
            evidence += [("maintenance", plan.maintenance_id, version.position) for version in plan.versions]
        if looked_at >= ITEMS_PER_STEP:
            looked_at = 0
            yield
    return windows


def _outages(
    tenant: str,
    period: Period,
    policy: Policy,
    impacts: Iterable[ImpactCopy],
    instant: int,
    evidence: list[tuple[str, str, Position]],
    summarized: list[tuple[str, PositionsSummary]],
) -> Steps[dict[str, list[tuple[int, int]]]]:
    """The downtime by component, as it comes, maintenance included; what counts is added to `evidence`, and to
    `summarized` where its positions are summarised."""
    outages: dict[str, list[tuple[int, int]]] = {}
    for number, copy in enumerate(impacts, 1):
        if number % ITEMS_PER_STEP == 0:
            yield
        relevant = False
        for impact in copy.impacts:
            end = instant if impact.end is None else min(impact.end, instant)
            if end <= period.start or impact.start >= period.end or not counts(policy, impact):
                continue
            if impact.scope != "platform" and tenant not in impact.tenant_ids:
                continue
            relevant = True
            outage = max(impact.start, period.start), min(end, period.end)
            outages.setdefault(impact.component, []).append(outage)
        if relevant:
            evidence += [("incident", copy.incident_id, position) for position in copy.evidence]
            if copy.summary is not None:
                summarized.append((copy.incident_id, copy.summary))
    return outages


def compute_month(*terms: Any) -> MonthResult:
    """`month_steps`, all at once."""
    return finish(month_steps(*terms))
