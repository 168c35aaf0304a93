"""A month that has no statement yet: its outages as incidents report them now, and the contract over it."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Request
from fastapi.responses import HTMLResponse
from sqlalchemy import Connection

from board.charts.strips import StripSpan, days_of, month_strips
from board.dependencies import BoardContext
from board.pages.month_view import MOST_SPANS, SpanRow
from board.pages.tenant_area import contract_rows, local_text, tenant_area
from board.pages.tenant_texts import tenant_phrases
from board.pages.texts import board_phrases
from board.queries import months
from board.queries.contracts import contract_history
from board.queries.month_incidents import incidents_of_month
from board.viewer import viewer
from streams.sla.contracts import ContractHistory
from streams.sla.credits.intervals import Interval, intersect, subtract, union
from streams.sla.instants import SECOND, Month, month_bounds
from streams.sla.policy import Policies


@dataclass(frozen=True, slots=True)
class MonthSoFar:
    """What is known of a month without a statement. Instants are microseconds UTC.

    `outages` are those of each incident under contract, by its start, at most `MOST_SPANS`; `others` are the spans
    outside the contract and the time ahead. `final_at` is when the final statement is due.
    """

    zone: str
    start: int
    end: int
    outages: tuple[SpanRow, ...]
    more_outages: bool
    others: tuple[SpanRow, ...]
    final_at: int


def month_so_far(
    connection: Connection, policies: Policies, history: ContractHistory, tenant: str, month: Month, now: int
) -> MonthSoFar | None:
    """None for a month that has not begun, or in which the tenant has no contract."""
    if not len(history):
        return None
    start, end = month_bounds(month, history.zone)
    spans = history.spans(start, end)
    if start > now or not spans:
        return None
    found = incidents_of_month(connection, tenant, start, min(end, now), limit=MOST_SPANS + 1)
    under_contract = union((one.start, one.end) for one in spans)
    outages: list[SpanRow] = []
    for one in found:
        policy = policies.exact(one.policy, one.policy_version) or policies.at(spans[-1].contract.plan, start)
        if policy.guarantees(one.component) and one.impact in policy.downtime_impacts:
            begin, until = max(one.link.started_at or start, start), min(one.link.restored_at or now, end, now)
            outages += [SpanRow("outage", *span, (one.link,)) for span in _overlap(begin, until, under_contract)]
    others = [SpanRow("outside", *one) for one in subtract([Interval(start, end)], under_contract)]
    if now < end:
        others.insert(0, SpanRow("ahead", now, end))
    grace = policies.at(spans[-1].contract.plan, spans[-1].end - 1).statements.grace
    return MonthSoFar(
        history.zone, start, end, tuple(outages[:MOST_SPANS]), len(found) > MOST_SPANS, tuple(others), end + grace
    )


def _overlap(start: int, end: int, spans: list[Interval]) -> list[Interval]:
    return intersect([Interval(start, end)], spans) if start < end else []


def month_so_far_page(
    request: Request, connection: Connection, context: BoardContext, tenant: str, month: str
) -> HTMLResponse | None:
    """The page; None where nothing is known of the month."""
    now = context.time_source.now() // SECOND * SECOND  # what lasts ends here: no fractions of a second
    history = contract_history(connection, tenant)
    known = month_so_far(connection, context.policies, history, tenant, Month(month), now)
    if known is None:
        return None
    language = viewer(request).language
    phrases, common = tenant_phrases(language), board_phrases(language)
    kinds = {**phrases.span_kinds, "ahead": phrases.so_far_ahead}

    def strip(row: SpanRow) -> StripSpan:
        shown = phrases.span_hover.format(
            kind=kinds[row.kind],
            start=local_text(row.start, known.zone),
            end=local_text(row.end, known.zone),
            length=common.duration(row.end - row.start),
        )
        return StripSpan(
            row.kind, row.start, row.end, "\n".join([shown, *(link.incident_id for link in row.incidents)])
        )

    strips = month_strips(
        days_of(known.start, known.end, known.zone),
        [strip(row) for row in (*known.others, *known.outages)],
        identity="strips",
        name=phrases.strips_title,
        description=phrases.so_far_strips.format(
            month=month, tenant=tenant, zone=known.zone, outages=len(known.outages)
        ),
    )
    before, after = months.months_with_statements(connection, tenant, month)
    in_month = {one.contract for one in history.spans(known.start, known.end)}
    return tenant_area(
        request,
        "month_so_far.html",
        tenant=tenant,
        month=month,
        known=known,
        kinds=kinds,
        strips=strips,
        contracts=[row for row in contract_rows(history, now) if row.contract in in_month],
        before=before,
        after=after,
    )
