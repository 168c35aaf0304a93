"""Checks `credit.issued` events against the statements of their month, and what statements waive against what was
issued (R26)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from streams.sla.credits.submitted import (
    SubmittedCredit,
    SubmittedStatement,
    TermDifference,
    differs,
    instant,
    money,
    policy_of,
)
from streams.sla.credits.verify import LEDGER, check_month
from streams.sla.credits.verify_revision import final_at
from streams.sla.ids import output_id
from streams.sla.policy import Policies

CAUSES = {"automatic": ("final",), "claimed": ("final", "adjusted"), "adjusted": ("adjusted",)}
"""Cause → the statuses of the statements that it follows from."""


class ClaimedAt(NamedTuple):
    """A claim as the events have it: when it arrived, its time, and whether it was loaded as history."""

    arrival: int
    time: int
    backfill: bool


class ExpectedCredit(NamedTuple):
    """A credit that follows from the statements of a month and its claims."""

    revision: int
    cause: str
    amount: int
    time: int


class ExpectedCredits(NamedTuple):
    """What is issued for a month, and what had been issued before each revision."""

    credits: list[ExpectedCredit]
    issued_before: dict[int, int]


def expected_credits(
    revisions: Sequence[SubmittedStatement], claims: Iterable[ClaimedAt], policies: Policies
) -> ExpectedCredits | None:
    """What the non-provisional revisions of a month lead to; None where one of them is missing. `revisions` are in
    order, each once."""
    settled = [one for one in revisions if one.status != "provisional"]
    numbers = [one.revision for one in settled]
    if not settled or settled[0].status != "final" or numbers != list(range(numbers[0], numbers[0] + len(numbers))):
        return None
    found, before, issued = list[ExpectedCredit](), dict[int, int](), 0
    waiting = sorted(claims)
    claimed = False
    for given, following in zip(settled, [*settled[1:], None], strict=True):
        policy = policies.exact(*given.policy[:2])
        if policy is None:
            return None
        in_time = [one for one in waiting if one.time <= (given.claimable_until or 0)]
        before[given.revision] = issued
        claimed = claimed or any(one.arrival <= given.time for one in in_time)
        automatic = policy.credit.claim == "automatic"
        if (automatic or claimed) and given.credit > issued:
            first = "automatic" if automatic else "claimed"
            cause = first if given.status == "final" else "adjusted"
            found.append(ExpectedCredit(given.revision, cause, given.credit - issued, given.time))
            issued = given.credit
        for one in in_time:
            if one.arrival > given.time and (following is None or one.arrival <= following.time):
                claimed = True
                if given.credit > issued:
                    time = max(one.time, final_at(given, policy))
                    found.append(ExpectedCredit(given.revision, "claimed", given.credit - issued, time))
                    issued = given.credit
    return ExpectedCredits(found, before)


def has_statement(credit: SubmittedCredit, revisions: Iterable[SubmittedStatement]) -> bool:
    """Whether the statement that a credit follows from is given: only then can it be verified."""
    return any(one.revision == credit.revision for one in revisions)


def check_waived(submitted: SubmittedStatement, expected: ExpectedCredits | None) -> TermDifference | None:
    """What an adjustment waives is what was issued beyond its credit."""
    if expected is None or submitted.revision not in expected.issued_before or submitted.status != "adjusted":
        return None
    waived = max(0, expected.issued_before[submitted.revision] - submitted.credit)
    _, credit_in, _, waived_in = submitted.currencies
    return differs("waived", money(submitted.waived, waived_in), money(waived, credit_in))


def check_credit(
    credit: SubmittedCredit,
    revisions: Sequence[SubmittedStatement],
    policies: Policies,
    expected: ExpectedCredits | None = None,
) -> TermDifference | None:
    """What a credit differs in from itself, from the statement that it follows from, and from what is `expected` of
    them and the events."""
    return check_month(credit) or _itself(credit, policies) or _statement(credit, revisions, expected)


def _itself(credit: SubmittedCredit, policies: Policies) -> TermDifference | None:
    policy = policies.exact(*credit.policy[:2])
    if credit.cause not in CAUSES:
        return TermDifference("cause", credit.cause, f"one of {', '.join(CAUSES)}")
    if credit.revision < 1:
        return TermDifference("statement_revision", str(credit.revision), "1 or more")
    if credit.amount <= 0:
        return TermDifference("amount", money(credit.amount, credit.currency), "more than 0")
    if policy is None:
        return TermDifference("policy", policy_of(credit.policy), "this deployment has no such policy")
    parts = "credit.issued", credit.tenant, credit.month, credit.revision, credit.cause
    return (
        differs("policy", policy_of(credit.policy), policy_of((policy.name, policy.version, policy.digest)))
        or differs("subject", credit.subject, credit.tenant)
        or differs("id", credit.event_id, output_id(*parts))
        or differs("source", credit.source, LEDGER)
    )


def _statement(
    credit: SubmittedCredit, revisions: Sequence[SubmittedStatement], expected: ExpectedCredits | None
) -> TermDifference | None:
    given = next((one for one in revisions if one.revision == credit.revision), None)
    if given is None:
        return None  # revisions have no gaps, so it is one that is not given, earlier or later ones aside
    if given.status not in CAUSES[credit.cause]:
        return TermDifference("cause", credit.cause, f"a cause of the status {given.status}")
    if expected is not None:
        return _expected(credit, given, expected)
    later = credit.cause == "claimed" and credit.time > given.time
    currency = given.currencies[1]
    if credit.amount > given.credit:
        most = money(given.credit, currency)
        return TermDifference("amount", money(credit.amount, credit.currency), f"at most {most}, the credit")
    return (
        differs("currency", credit.currency, currency)
        or (None if later else differs("time", instant(credit.time), instant(given.time)))
        or (None if later else differs("policy", policy_of(credit.policy), policy_of(given.policy)))
    )


def _expected(credit: SubmittedCredit, given: SubmittedStatement, expected: ExpectedCredits) -> TermDifference | None:
    due = [one for one in expected.credits if one.revision == credit.revision]
    if not due:
        return TermDifference("statement_revision", str(credit.revision), "no credit follows from this revision")
    one = next((one for one in due if one.cause == credit.cause), due[0])
    currency = given.currencies[1]
    at = instant(credit.time)
    return (
        differs("cause", credit.cause, one.cause)
        or differs("amount", money(credit.amount, credit.currency), money(one.amount, currency))
        # A claim that is applied before a final statement which waits for a watermark is answered by that.
        or (None if credit.time == given.time else differs("time", at, instant(one.time)))
        or (None if credit.time > given.time else differs("policy", policy_of(credit.policy), policy_of(given.policy)))
    )
