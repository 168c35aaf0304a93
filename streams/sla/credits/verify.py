"""Checks statements term by term: for consistency with themselves and their policy, and against recomputed facts."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fractions import Fraction
from zoneinfo import ZoneInfoNotFoundError

from streams.sla.credits import formula
from streams.sla.credits.intervals import Interval, intersect, measure, subtract, union
from streams.sla.credits.month_close import OUT_OF_ORDER
from streams.sla.credits.recompute import Recomputation
from streams.sla.credits.statement import MonthResult, Period
from streams.sla.credits.statement_record import summarize_evidence, summarize_spans
from streams.sla.credits.submitted import (
    SubmittedCredit,
    SubmittedStatement,
    TermDifference,
    differs,
    duration,
    fraction,
    instant,
    listed,
    met,
    money,
    named,
    share,
    span,
    summarized_evidence,
    summarized_spans,
)
from streams.sla.credits.verify_revision import check_history, check_made
from streams.sla.credits.work_steps import finish
from streams.sla.ids import output_id
from streams.sla.instants import month_bounds
from streams.sla.policy import Policies, Policy

LEDGER = "/sla/ledger"
"""The source of statements and credits."""
#: As statements write a month; instants begin with 1970, which is 1969 in some zones.
_MONTH = re.compile(r"(1969|19[7-9][0-9]|[2-9][0-9]{3})-(0[1-9]|1[0-2])")

# -- against itself --------------------------------------------------------------------------------------------------


def check_alone(
    submitted: SubmittedStatement, policies: Policies, others: Iterable[SubmittedStatement] = ()
) -> TermDifference | None:
    """Check what can be recomputed from a statement alone, in the order of its terms. `others` are the known revisions
    of the same month. None when nothing differs."""
    revisions = sorted(others, key=lambda one: one.revision)
    return (
        check_month(submitted)
        or _period(submitted)
        or _own_spans(submitted)
        or _own_evidence(submitted)
        or _availability(submitted)
        or _money(submitted, policies)
        or _made(submitted, policies, revisions)
        or check_history(submitted, revisions)
        or differs("digest", submitted.digest, submitted.own_digest)
        or differs("source", submitted.source, LEDGER)
        or differs("subject", submitted.subject, submitted.tenant)
    )


def check_id(submitted: SubmittedStatement) -> TermDifference | None:
    """Whether a statement has the id that follows from what it says (R3); of one that the flag `out_of_order` says may
    differ, and that a later revision replaces, nothing is said."""
    parts = "credit.statement", submitted.tenant, submitted.month, submitted.revision, submitted.digest
    return None if OUT_OF_ORDER in submitted.flags else differs("id", submitted.event_id, output_id(*parts))


def check_month(submitted: SubmittedStatement | SubmittedCredit) -> TermDifference | None:
    """Whether there is such a month, written as statements write it. Without one nothing else can be checked."""
    if _MONTH.fullmatch(submitted.month):
        return None
    return TermDifference("month", submitted.month, "a month, written YYYY-MM, such as 2026-05")


def _made(submitted: SubmittedStatement, policies: Policies, others: list[SubmittedStatement]) -> TermDifference | None:
    policy = policies.exact(*submitted.policy[:2])
    assert policy is not None  # or `_money` would have named it
    return check_made(submitted, policy, policies, others)


def _period(submitted: SubmittedStatement) -> TermDifference | None:
    try:
        bounds = Period(*month_bounds(submitted.month, submitted.period.zone), submitted.period.zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return TermDifference(
            "period", f"month {submitted.month}, time zone {submitted.period.zone}", "there is no such month"
        )
    length = bounds.end - bounds.start
    if submitted.period == bounds and not 0 <= submitted.eligible <= length:
        return TermDifference(
            "eligible_s", duration(submitted.eligible), f"at most {duration(length)}, the whole month"
        )
    return differs("period", span(submitted.period), span(bounds))


def _spans(term: str, spans: tuple[Interval, ...], submitted: SubmittedStatement) -> TermDifference | None:
    merged = union(spans)
    if list(spans) != merged:
        return TermDifference(term, listed(spans), f"disjoint and in order: {listed(merged)}")
    outside = subtract(spans, [Interval(submitted.period.start, submitted.period.end)])
    if outside:
        return TermDifference(term, listed(outside), f"within the month, {span(submitted.period)}")
    if term == "exclusions" and (both := intersect(spans, submitted.intervals)):
        return TermDifference(term, listed(both), "nothing that counts as downtime too")
    return None


def _own_spans(submitted: SubmittedStatement) -> TermDifference | None:
    """Intervals and exclusions within the month, and their sums; what is summarised can only be recomputed from the
    events."""
    if submitted.spans_summary is not None:
        if not submitted.intervals and not submitted.exclusions:
            return None
        return TermDifference("spans_summary", "intervals or exclusions beside it", "none: they are summarised")
    return (
        _spans("intervals", submitted.intervals, submitted)
        or differs("downtime_s", duration(submitted.downtime), duration(measure(submitted.intervals)))
        or _spans("exclusions", submitted.exclusions, submitted)
        or differs("excluded_s", duration(submitted.excluded), duration(measure(submitted.exclusions)))
    )


def _own_evidence(submitted: SubmittedStatement) -> TermDifference | None:
    if submitted.evidence_summary is None or not submitted.evidence:
        return None
    return TermDifference("evidence_summary", f"evidence beside it: {named(submitted.evidence)}", "none listed")


def _availability(submitted: SubmittedStatement) -> TermDifference | None:
    counted = submitted.downtime + submitted.excluded
    if counted > submitted.eligible:
        return TermDifference(
            "eligible_s", duration(submitted.eligible), f"at least {duration(counted)} of down and excluded"
        )
    available = formula.availability(submitted.eligible, submitted.excluded, submitted.downtime)
    return differs("availability", share(*submitted.availability), fraction(available))


def _money(submitted: SubmittedStatement, policies: Policies) -> TermDifference | None:
    name, version, digest = submitted.policy
    policy = policies.exact(name, version)
    if policy is None:
        return TermDifference("policy", f"{name} {version}", "this deployment has no such policy")
    available = formula.availability(submitted.eligible, submitted.excluded, submitted.downtime)
    percent = formula.credit_percent(policy.credit, available)
    currency = submitted.currencies[0]
    return (
        differs("policy", f"{name} {version}, digest {digest}", f"{name} {version}, digest {policy.digest}")
        or differs("guarantee_met", met(submitted.guarantee_met), met(_is_met(policy, available)))
        or (
            TermDifference("monthly_charge", money(submitted.charge, currency), "0 or more")
            if submitted.charge < 0
            else None
        )
        or differs("credit_percent", f"{submitted.credit_percent} %", f"{formula.plain(percent)} %")
        or differs(
            "credit",
            money(submitted.credit, submitted.currencies[1]),
            money(formula.credit_amount(submitted.charge, percent), currency),
        )
    )


def _is_met(policy: Policy, available: Fraction) -> bool:
    return available * 100 >= policy.guarantee


# -- against the facts -----------------------------------------------------------------------------------------------


def check_against(submitted: SubmittedStatement, recomputation: Recomputation) -> TermDifference | None:
    """Check a statement against its recomputation from the facts at its instant, in the order of its terms. None when
    nothing differs."""
    recomputed = recomputation.compute_month(submitted.tenant, submitted.month, submitted.time)
    if recomputed is None:
        return TermDifference("period", span(submitted.period), f"the events hold no contract of {submitted.tenant}")
    found = recomputed.result
    until = submitted.claimable_until if submitted.status == "adjusted" else recomputed.claimable_until
    currency, credit_in = submitted.currencies[:2]
    policy = found.policy
    return (
        differs("period", span(submitted.period), span(found.period))
        or differs("eligible_s", duration(submitted.eligible), duration(found.eligible))
        or _downtime(submitted, found, recomputation)
        or differs("downtime_s", duration(submitted.downtime), duration(found.downtime))
        or _exclusions(submitted, found)
        or differs("excluded_s", duration(submitted.excluded), duration(found.excluded))
        or differs("availability", share(*submitted.availability), fraction(found.available))
        or differs(
            "policy",
            "{} {}, digest {}".format(*submitted.policy),
            f"{policy.name} {policy.version}, digest {policy.digest}",
        )
        or differs("guarantee_met", met(submitted.guarantee_met), met(found.guarantee_met))
        or differs("monthly_charge", money(submitted.charge, currency), money(found.charge, found.currency))
        or differs("credit_percent", f"{submitted.credit_percent} %", f"{formula.plain(found.percent)} %")
        or differs("credit", money(submitted.credit, credit_in), money(found.credit, found.currency))
        or differs("claimable_until", instant(submitted.claimable_until), instant(until))
        or _evidence(submitted, found)
        or _flags(submitted, recomputed.flags)
    )


def _flags(submitted: SubmittedStatement, recomputed: tuple[str, ...]) -> TermDifference | None:
    """That inputs were applied out of their order does not follow from the events."""
    stated = [flag for flag in submitted.flags if flag != OUT_OF_ORDER]
    return differs("flags", ", ".join(stated) or "none", ", ".join(recomputed) or "none")


def _downtime(submitted: SubmittedStatement, found: MonthResult, recomputation: Recomputation) -> TermDifference | None:
    summary = submitted.spans_summary
    if summary is not None:
        known = finish(summarize_spans(found))
        stated = summarized_spans(summary.intervals, summary.intervals_digest)
        return differs("intervals", stated, summarized_spans(known.intervals, known.intervals_digest))
    difference = _sets("intervals", submitted.intervals, found.intervals)
    if difference is None:
        return None
    apart = [*subtract(submitted.intervals, found.intervals), *subtract(found.intervals, submitted.intervals)]
    incidents_within = set(recomputation.incidents_within(submitted.tenant, found, submitted.time, union(apart)))
    present = {name for kind, name in found.evidence_ids if kind == "incident"}
    absent = {name for kind, name in submitted.evidence if kind == "incident"} - present
    return difference._replace(incidents=tuple(sorted(incidents_within | absent)))


def _exclusions(submitted: SubmittedStatement, found: MonthResult) -> TermDifference | None:
    summary = submitted.spans_summary
    if summary is None:
        return _sets("exclusions", submitted.exclusions, found.exclusions)
    known = finish(summarize_spans(found))
    stated = summarized_spans(summary.exclusions, summary.exclusions_digest)
    return differs("exclusions", stated, summarized_spans(known.exclusions, known.exclusions_digest))


def _sets(term: str, stated: tuple[Interval, ...], recomputed: tuple[Interval, ...]) -> TermDifference | None:
    """Names only the spans that one side lacks."""
    if stated == recomputed:
        return None
    surplus = [one for one in stated if one not in recomputed]
    missing = [one for one in recomputed if one not in stated]
    return TermDifference(term, listed(surplus), listed(missing))


def _evidence(submitted: SubmittedStatement, found: MonthResult) -> TermDifference | None:
    if submitted.evidence_summary is not None:
        recomputed = summarized_evidence(finish(summarize_evidence(found)))
        return differs("evidence", summarized_evidence(submitted.evidence_summary), recomputed)
    theirs = set(found.evidence_ids)
    if submitted.evidence == theirs:
        return None
    return TermDifference("evidence", named(submitted.evidence - theirs), named(theirs - submitted.evidence))
