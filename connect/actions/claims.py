"""Whether a tenant can claim its credit of a month (R26): by its contract, earlier claims and the statement."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from connect.actions.form import shown
from connect.actions.outcome import FormProblem, Unchanged
from connect.contract_import.current_terms import ContractLog
from connect.contract_import.diff import fact_id
from streams.money import formatted
from streams.sla.events import Money
from streams.sla.instants import format_rfc3339, parse_rfc3339


class ClaimedStatement(NamedTuple):
    """What matters of the month's statement with the highest revision; `claimable_until` in microseconds."""

    status: str
    revision: int
    credit: Money
    claimable_until: int | None

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> ClaimedStatement:
        """From the data of a `credit.statement` in the JSON form."""
        until, credit = data.get("claimable_until"), data["credit"]
        money = Money(credit["amount_minor"], credit["currency"])
        return cls(data["status"], data["revision"], money, None if until is None else parse_rfc3339(until))


def claim_id(tenant: str, month: str) -> str:
    """The id of a claim's event: a claim sent again is the same event."""
    return fact_id("credit.claimed", tenant, month)


def earlier_claim(log: ContractLog, tenant: str, month: str) -> FormProblem | Unchanged | None:
    """Why a claim needs no event: there is no contract, or it was claimed."""
    if tenant not in log.contracts:
        return FormProblem("", "tenant_unknown", {"tenant": shown(tenant)})
    earlier = log.claims.get((tenant, month))
    if earlier is None:
        return None
    return Unchanged(FormProblem("", "claimed_before", {"month": month, "at": format_rfc3339(earlier.time)}))


def statement_problem(statement: ClaimedStatement | None, tenant: str, month: str, now: int) -> FormProblem | None:
    """Why a claim would be rejected, or be for nothing: a credit of zero may be claimed in case of a correction."""
    if statement is None or statement.status == "provisional":
        return None
    until = statement.claimable_until
    if until is not None and now > until:
        return FormProblem("month", "claim_late", {"month": month, "until": format_rfc3339(until)})
    if statement.credit.amount_minor != 0:
        return None
    values = {"month": month, "tenant": shown(tenant), "amount": formatted(0, statement.credit.currency)}
    values |= {"revision": str(statement.revision), "status": statement.status}
    return FormProblem("although_zero", "claim_zero", values)
