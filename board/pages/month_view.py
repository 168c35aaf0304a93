"""What the page of a tenant's month shows of one revision: spans, arithmetic, links; from queries alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from board.arithmetic import ArithmeticLine, arithmetic
from board.queries import statements
from board.queries.contracts import contract_history
from board.queries.statements import CreditRow, NamedIncident, StatementDetail
from board.queries.tenant_scope import EVERY_TENANT, TenantScope
from board.reports.customer import CustomerStatement, of_revisions
from board.statement_changes import TermChange, changes
from streams.sla.contracts import ContractHistory
from streams.sla.credits.intervals import Interval, intersect, measure, subtract, union
from streams.sla.credits.submitted import SubmittedStatement
from streams.sla.policy import Policies, Policy

#: Spans in the table and in the picture of a page; the CSV has all.
MOST_SPANS = 400
#: Inputs that a page lists as evidence.
MOST_EVIDENCE = 100


@dataclass(frozen=True, slots=True)
class SpanRow:
    """A span of the month with the incidents behind it. `kind` is outage, excluded, outside or ahead."""

    kind: str
    start: int
    end: int
    incidents: tuple[NamedIncident, ...] = ()


@dataclass(frozen=True, slots=True)
class RevisionRow:
    """A revision, and what changed since the one before; None for the first that is known."""

    detail: StatementDetail
    changes: tuple[TermChange, ...] | None


@dataclass(frozen=True, slots=True)
class MonthView:
    """A revision of a month's statement. `spans` are in order of time, at most `MOST_SPANS`; `more_spans` counts the
    others. `under_contract` is the time under contract by the facts known now, None where none are."""

    detail: StatementDetail
    latest: bool
    policy: Policy | None
    lines: tuple[ArithmeticLine, ...]
    spans: tuple[SpanRow, ...]
    more_spans: int
    other_incidents: tuple[NamedIncident, ...]
    under_contract: int | None
    credits: tuple[CreditRow, ...]
    claims: tuple[statements.ClaimRow, ...]
    revisions: tuple[RevisionRow, ...]


def month_view(
    connection: Connection,
    policies: Policies,
    tenant_id: str,
    month: str,
    revision: int | None = None,
    scope: TenantScope = EVERY_TENANT,
) -> MonthView | None:
    """The latest revision of a month, or the one that is asked for; None when there is none. Incidents are named as a
    person of the scope may see them."""
    known = statements.revisions(connection, tenant_id, month)
    chosen = [one for one in known if revision in {None, one.terms.revision}]
    if not chosen:
        return None
    detail = chosen[-1]
    terms = detail.terms
    policy = policies.exact(*terms.policy[:2])
    credits = statements.issued_credits(connection, tenant_id, month)
    settled = [one.terms for one in known if one.terms.status != "provisional"]
    before = next((one for one in reversed(settled) if one.revision < terms.revision), None)
    issued = sum(one.amount_minor for one in credits if one.revision < terms.revision)
    links = statements.incident_links(connection, _incident_ids(detail), scope)
    contracts = contract_history(connection, tenant_id)
    spans, other = _spans(terms, contracts, links)
    return MonthView(
        detail=detail,
        latest=detail is known[-1],
        policy=policy,
        lines=tuple(arithmetic(terms, policy, before=before, issued=issued)),
        spans=tuple(spans[:MOST_SPANS]),
        more_spans=max(0, len(spans) - MOST_SPANS),
        other_incidents=tuple(other),
        under_contract=_contracted(terms, contracts) if len(contracts) else None,
        credits=tuple(credits),
        claims=tuple(statements.claims(connection, tenant_id, month)),
        revisions=tuple(_revisions(known)),
    )


def customer_statement(
    connection: Connection, policies: Policies, tenant_id: str, month: str, revision: int | None = None
) -> CustomerStatement | None:
    """The statement for the customer: the latest revision of a month, or the one that is asked for."""
    known = {
        one.terms.revision: one.terms
        for one in statements.revisions(connection, tenant_id, month)
        if revision is None or one.terms.revision <= revision
    }
    if not known or revision not in {None, *known}:
        return None
    issued = statements.issued_credits(connection, tenant_id, month)
    credits = [(each.revision, each.amount_minor) for each in issued if each.revision <= max(known)]
    return of_revisions(known, credits, policies)


def _incident_ids(detail: StatementDetail) -> list[str]:
    return sorted({item.id for item in detail.evidence if item.kind == "incident"})


def _contracted(terms: SubmittedStatement, contracts: ContractHistory) -> int:
    return measure(_contract_spans(terms, contracts))


def _contract_spans(terms: SubmittedStatement, contracts: ContractHistory) -> list[Interval]:
    period = terms.period
    return union((one.start, one.end) for one in contracts.spans(period.start, period.end))


def _spans(
    terms: SubmittedStatement, contracts: ContractHistory, links: Sequence[NamedIncident]
) -> tuple[list[SpanRow], list[NamedIncident]]:
    """The spans of the month in order of time, and the incidents that lie in none of its outages."""
    month = [Interval(terms.period.start, terms.period.end)]
    outside = subtract(month, _contract_spans(terms, contracts)) if len(contracts) else []
    ahead = intersect(month, [Interval(terms.time, terms.period.end)]) if terms.time < terms.period.end else []
    shown: set[str] = set()
    found = [SpanRow("outside", *one) for one in outside]
    found += [SpanRow("ahead", *one) for one in subtract(ahead, outside)]
    found += [SpanRow("excluded", *one) for one in terms.exclusions]
    for one in terms.intervals:
        behind = tuple(link for link in links if _overlaps(link, one))
        shown.update(link.incident_id for link in behind)
        found.append(SpanRow("outage", *one, behind))
    found.sort(key=lambda row: (row.start, row.end))
    return found, [link for link in links if link.incident_id not in shown]


def _overlaps(link: NamedIncident, span: Interval) -> bool:
    if link.started_at is None:
        return False
    return link.started_at < span.end and (link.restored_at is None or link.restored_at > span.start)


def _revisions(known: Sequence[StatementDetail]) -> list[RevisionRow]:
    """The revisions, the latest first."""
    rows = [
        RevisionRow(one, None if index == 0 else tuple(changes(known[index - 1].terms, one.terms)))
        for index, one in enumerate(known)
    ]
    return rows[::-1]
