"""Statements checked term by term: against themselves and the policy they name, and against what facts come to."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from zoneinfo import ZoneInfoNotFoundError

from streams.sla.credits import formula
from streams.sla.credits.intervals import Interval, intersect, measure, subtract, union
from streams.sla.credits.recompute import Recomputation
from streams.sla.credits.statement import MonthResult, Period
from streams.sla.credits.submitted import (
    SubmittedStatement,
    TermDifference,
    duration,
    fraction,
    instant,
    listed,
    met,
    money,
    named,
    share,
    span,
)
from streams.sla.instants import month_bounds
from streams.sla.policy import Policies, Policy

# -- against itself --------------------------------------------------------------------------------------------------


def check_alone(
    given: SubmittedStatement, policies: Policies, others: Iterable[SubmittedStatement] = ()
) -> TermDifference | None:
    """What can be recomputed from a statement alone, in the order of its terms; `others` are the revisions of the
    same month that are known. None when everything fits."""
    return (
        _period(given)
        or _spans("intervals", given.intervals, given)
        or _differs("downtime_s", duration(given.downtime), duration(measure(given.intervals)))
        or _spans("exclusions", given.exclusions, given)
        or _differs("excluded_s", duration(given.excluded), duration(measure(given.exclusions)))
        or _availability(given)
        or _money(given, policies)
        or _history(given, list(others))
        or _differs("digest", given.digest, given.own_digest)
    )


def _differs(term: str, said: object, found: object) -> TermDifference | None:
    return None if said == found else TermDifference(term, str(said), str(found))


def _period(given: SubmittedStatement) -> TermDifference | None:
    try:
        bounds = Period(*month_bounds(given.month, given.period.zone), given.period.zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return TermDifference("period", f"month {given.month}, time zone {given.period.zone}", "there is no such month")
    length = bounds.end - bounds.start
    if given.period == bounds and not 0 <= given.eligible <= length:
        return TermDifference("eligible_s", duration(given.eligible), f"at most {duration(length)}, the whole month")
    return _differs("period", span(given.period), span(bounds))


def _spans(term: str, spans: tuple[Interval, ...], given: SubmittedStatement) -> TermDifference | None:
    merged = union(spans)
    if list(spans) != merged:
        return TermDifference(term, listed(spans), f"disjoint and in order: {listed(merged)}")
    outside = subtract(spans, [Interval(given.period.start, given.period.end)])
    if outside:
        return TermDifference(term, listed(outside), f"within the month, {span(given.period)}")
    if term == "exclusions" and (both := intersect(spans, given.intervals)):
        return TermDifference(term, listed(both), "nothing that counts as downtime too")
    return None


def _availability(given: SubmittedStatement) -> TermDifference | None:
    counted = given.downtime + given.excluded
    if counted > given.eligible:
        return TermDifference(
            "eligible_s", duration(given.eligible), f"at least {duration(counted)} of down and excluded"
        )
    available = formula.availability(given.eligible, given.excluded, given.downtime)
    return _differs("availability", share(*given.availability), fraction(available))


def _money(given: SubmittedStatement, policies: Policies) -> TermDifference | None:
    name, version, digest = given.policy
    policy = policies.exact(name, version)
    if policy is None:
        return TermDifference("policy", f"{name} {version}", "this deployment has no such policy")
    available = formula.availability(given.eligible, given.excluded, given.downtime)
    percent = formula.credit_percent(policy.credit, available)
    currency = given.currencies[0]
    return (
        _differs("policy", f"{name} {version}, digest {digest}", f"{name} {version}, digest {policy.digest}")
        or _differs("guarantee_met", met(given.guarantee_met), met(_is_met(policy, available)))
        or (TermDifference("monthly_charge", money(given.charge, currency), "0 or more") if given.charge < 0 else None)
        or _differs("credit_percent", f"{given.credit_percent} %", f"{formula.plain(percent)} %")
        or _differs(
            "credit",
            money(given.credit, given.currencies[1]),
            money(formula.credit_amount(given.charge, percent), currency),
        )
    )


def _is_met(policy: Policy, available: Fraction) -> bool:
    return available * 100 >= policy.guarantee


def _history(given: SubmittedStatement, others: list[SubmittedStatement]) -> TermDifference | None:
    """R26: `delta` is against the revision before, and no more can be waived than was credited before."""
    _, credit_in, delta_in, waived_in = given.currencies
    twin = next((other for other in others if other.revision == given.revision and other.digest != given.digest), None)
    if twin is not None:
        return TermDifference("revision", f"{given.revision}, digest {given.digest}", f"also with digest {twin.digest}")
    before = {other.revision: other for other in others if other.revision < given.revision}
    owed = {revision: other.credit for revision, other in before.items() if other.status != "provisional"}
    delta: int | None = 0
    if given.status == "adjusted":
        last = owed.get(given.revision - 1)
        delta = None if last is None else given.credit - last
    if delta is not None and (found := _differs("delta", money(given.delta, delta_in), money(delta, credit_in))):
        return found
    most: int | None = 0
    if given.status == "adjusted":
        complete = all(number in before for number in range(1, given.revision))
        most = max(0, max(owed.values(), default=0) - given.credit) if complete else None
    if given.waived < 0 or (most is not None and given.waived > most):
        return TermDifference("waived", money(given.waived, waived_in), f"0 to {money(most or 0, credit_in)}")
    return _differs("waived", waived_in, credit_in)


# -- against the facts -----------------------------------------------------------------------------------------------


def check_against(given: SubmittedStatement, recount: Recomputation) -> TermDifference | None:
    """The statement beside what the facts known to `recount` come to at its instant, in the order of its terms."""
    recounted = recount.weigh(given.tenant, given.month, given.time)
    if recounted is None:
        return TermDifference("period", span(given.period), f"the events hold no contract of {given.tenant}")
    found = recounted.weighed
    until = given.claimable_until if given.status == "adjusted" else recounted.claimable_until
    currency, credit_in = given.currencies[:2]
    mine, theirs = found.policy, given.policy
    return (
        _differs("period", span(given.period), span(found.period))
        or _differs("eligible_s", duration(given.eligible), duration(found.eligible))
        or _downtime(given, found, recount)
        or _differs("downtime_s", duration(given.downtime), duration(found.downtime))
        or _sets("exclusions", given.exclusions, found.exclusions)
        or _differs("excluded_s", duration(given.excluded), duration(found.excluded))
        or _differs("availability", share(*given.availability), fraction(found.available))
        or _differs("policy", "{} {}, digest {}".format(*theirs), f"{mine.name} {mine.version}, digest {mine.digest}")
        or _differs("guarantee_met", met(given.guarantee_met), met(found.guarantee_met))
        or _differs("monthly_charge", money(given.charge, currency), money(found.charge, found.currency))
        or _differs("credit_percent", f"{given.credit_percent} %", f"{formula.plain(found.percent)} %")
        or _differs("credit", money(given.credit, credit_in), money(found.credit, found.currency))
        or _differs("claimable_until", instant(given.claimable_until), instant(until))
        or _evidence(given, found)
        or _differs("flags", ", ".join(given.flags) or "none", ", ".join(recounted.flags) or "none")
    )


def _downtime(given: SubmittedStatement, found: MonthResult, recount: Recomputation) -> TermDifference | None:
    difference = _sets("intervals", given.intervals, found.intervals)
    if difference is None:
        return None
    apart = [*subtract(given.intervals, found.intervals), *subtract(found.intervals, given.intervals)]
    concerned = set(recount.concerned(given.tenant, found, given.time, union(apart)))
    told = {name for kind, name, _ in found.evidence if kind == "incident"}
    absent = {name for kind, name in given.evidence if kind == "incident"} - told
    return difference._replace(incidents=tuple(sorted(concerned | absent)))


def _sets(term: str, said: tuple[Interval, ...], found: tuple[Interval, ...]) -> TermDifference | None:
    """Only the spans that the other side has not."""
    if said == found:
        return None
    ours, theirs = [one for one in said if one not in found], [one for one in found if one not in said]
    return TermDifference(term, listed(ours), listed(theirs))


def _evidence(given: SubmittedStatement, found: MonthResult) -> TermDifference | None:
    theirs = {(kind, name) for kind, name, _ in found.evidence}
    if given.evidence == theirs:
        return None
    return TermDifference("evidence", named(given.evidence - theirs), named(theirs - given.evidence))
