"""Checks when a statement was made, as which revision, and until when it can be claimed: by its policy, and against the
other revisions of its month (R26)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from streams.sla.credits.submitted import SubmittedCredit, SubmittedStatement, TermDifference, differs, instant, money
from streams.sla.erasure import ERASED, Erasures
from streams.sla.instants import LATEST
from streams.sla.policy import Policies, Policy


class Months:
    """Statements by their months; those of an erased tenant under its name and its pseudonym together (R29)."""

    def __init__(self, statements: Iterable[SubmittedStatement], erasures: Erasures) -> None:
        each = list(statements)
        tenants = {one.tenant for one in each}
        pseudonyms = {name for name in tenants if name.startswith(ERASED)}
        self._names = {name: erasures.pseudonym(name) for name in tenants} if pseudonyms else {}
        self._names = {name: pseudonym for name, pseudonym in self._names.items() if pseudonym in pseudonyms}
        self._months: dict[tuple[str, str], list[SubmittedStatement]] = {}
        for one in each:
            self._months.setdefault(self._key(one.tenant, one.month), []).append(one)

    def _key(self, tenant: str, month: str) -> tuple[str, str]:
        return self._names.get(tenant, tenant), month

    def of(self, one: SubmittedStatement | SubmittedCredit) -> list[SubmittedStatement]:
        """The statements of the same month."""
        return self._months.get(self._key(one.tenant, one.month), [])


STATUSES = ("provisional", "final", "adjusted")


def final_at(submitted: SubmittedStatement, policy: Policy) -> int:
    """The instant of the month's final statement by a policy (R26)."""
    return submitted.period.end + policy.statements.grace


def claimable_until(submitted: SubmittedStatement, policy: Policy) -> int:
    """The last instant of a claim by a policy (R26)."""
    return min(final_at(submitted, policy) + policy.credit.claim_within, LATEST)


# -- by its policy ---------------------------------------------------------------------------------------------------


def check_made(
    submitted: SubmittedStatement, policy: Policy, policies: Policies, others: Sequence[SubmittedStatement]
) -> TermDifference | None:
    """The nominal instant of its status, the revisions that can be made by then, and the end of claims."""
    if submitted.status not in STATUSES:
        return TermDifference("status", submitted.status, f"one of {', '.join(STATUSES)}")
    return (
        _instant(submitted, policy, others)
        or _revision(submitted, policy)
        or _claimable_until(submitted, policy, policies, others)
    )


def _instant(
    submitted: SubmittedStatement, policy: Policy, others: Sequence[SubmittedStatement]
) -> TermDifference | None:
    final = final_at(submitted, policy)
    if submitted.status == "final":
        return differs("time", instant(submitted.time), instant(final))
    if submitted.status == "provisional":
        every, start = policy.statements.provisional_every, submitted.period.start
        if start < submitted.time < final and (submitted.time - start) % every == 0:
            return None
        rule = f"between {instant(start)} and {instant(final)}, at a multiple of provisional_every"
        return TermDifference("time", instant(submitted.time), rule)
    earliest = next((one.time for one in others if one.status == "final"), submitted.period.end)
    if submitted.time < earliest:
        return TermDifference(
            "time", instant(submitted.time), f"after {instant(earliest)}: it adjusts a final statement"
        )
    if submitted.time == final and policy.statements.adjust_after:
        return TermDifference("status", submitted.status, f"final: {instant(final)} is the instant of that statement")
    return None


def _revision(submitted: SubmittedStatement, policy: Policy) -> TermDifference | None:
    """At most one provisional revision at each of their instants, and one final."""
    least = 2 if submitted.status == "adjusted" else 1
    most = None
    if submitted.status != "adjusted":
        until = min(submitted.time, final_at(submitted, policy) - 1)
        most = (until - submitted.period.start) // policy.statements.provisional_every
        most += submitted.status == "final"
    if submitted.revision >= least and (most is None or submitted.revision <= most):
        return None
    bounds = f"{least} or more" if most is None else f"{least} to {most:,}"
    return TermDifference("revision", f"{submitted.revision:,}", f"{bounds} for this status and instant")


def _claimable_until(
    submitted: SubmittedStatement, policy: Policy, policies: Policies, others: Sequence[SubmittedStatement]
) -> TermDifference | None:
    """Adjustments leave it as the final statement had it, maybe by the policy of another plan."""
    stated, expected = submitted.claimable_until, claimable_until(submitted, policy)
    if submitted.status == "adjusted":
        finals = [one for one in others if one.status == "final" and one.revision < submitted.revision]
        if finals:
            expected = finals[-1].claimable_until or expected
        elif stated in {claimable_until(submitted, one) for each in policies.by_name.values() for one in each}:
            return None
    return differs("claimable_until", instant(stated), instant(expected))


# -- against other revisions -----------------------------------------------------------------------------------------


def check_history(submitted: SubmittedStatement, others: Sequence[SubmittedStatement]) -> TermDifference | None:
    """R26: revisions follow each other in time, first provisional ones, then one final, then adjustments; `delta` is
    against the non-provisional revision before; no more can be waived than was credited before. `others` are the known
    revisions of the same month, this one among them."""
    twin = next((one for one in others if one.revision == submitted.revision and one.digest != submitted.digest), None)
    if twin is not None:
        return TermDifference(
            "revision", f"{submitted.revision}, digest {submitted.digest}", f"also with digest {twin.digest}"
        )
    before = {one.revision: one for one in others if one.revision < submitted.revision}
    whole = all(number in before for number in range(1, submitted.revision))
    return (
        _order(submitted, others, list(before.values()), whole=whole)
        or _delta(submitted, before)
        or _waived(submitted, list(before.values()), whole=whole)
    )


def _order(
    submitted: SubmittedStatement,
    others: Sequence[SubmittedStatement],
    before: list[SubmittedStatement],
    *,
    whole: bool,
) -> TermDifference | None:
    later = [one for one in before if one.time > submitted.time]
    if later:
        text = f"after revision {later[0].revision}, which is of {instant(later[0].time)}"
        return TermDifference("time", instant(submitted.time), text)
    settled = [one for one in before if one.status != "provisional"]
    if submitted.status == "adjusted":
        final_later = any(one.status == "final" and one.revision > submitted.revision for one in others)
        if final_later or (whole and not settled):
            return TermDifference("status", submitted.status, "no adjustment: no final revision comes before it")
    elif settled:
        return TermDifference(
            "status", submitted.status, f"adjusted: revision {settled[0].revision} is not provisional"
        )
    return None


def _delta(submitted: SubmittedStatement, before: dict[int, SubmittedStatement]) -> TermDifference | None:
    _, credit_in, delta_in, _ = submitted.currencies
    delta = 0
    if submitted.status == "adjusted":
        last = before.get(submitted.revision - 1)
        if last is None or last.status == "provisional":
            return differs("delta", delta_in, credit_in)
        delta = submitted.credit - last.credit
    return differs("delta", money(submitted.delta, delta_in), money(delta, credit_in))


def _waived(submitted: SubmittedStatement, before: list[SubmittedStatement], *, whole: bool) -> TermDifference | None:
    _, credit_in, _, waived_in = submitted.currencies
    most: int | None = 0
    if submitted.status == "adjusted":
        credited = max((one.credit for one in before if one.status != "provisional"), default=0)
        most = max(0, credited - submitted.credit) if whole else None
    if submitted.waived < 0 or (most is not None and submitted.waived > most):
        return TermDifference("waived", money(submitted.waived, waived_in), f"0 to {money(most or 0, credit_in)}")
    return differs("waived", waived_in, credit_in)
