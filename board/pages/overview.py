"""The overview: what is open, deadlines kept, the worst lapses, credits, tenants below their guarantee."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from sqlalchemy import Connection

from board.access.requirement import requires
from board.charts.columns import Column, ColumnGroup, column_chart
from board.dependencies import Context, ReadConnection
from board.pages.overview_texts import OverviewPhrases, overview_phrases
from board.pages.render import page
from board.queries import attainment, months, overview
from board.queries.attainment import AttainmentRow, Share, TimesRow, VerdictCount
from board.queries.overview import CreditsRow
from board.viewer import viewer
from connect.actions.permissions import Permission
from streams.config_files.scalars import exact_decimal
from streams.money import digits_of, formatted
from streams.sla.instants import Month

router = APIRouter(include_in_schema=False, dependencies=[requires(Permission.READ_OVERVIEW)])

MONTHS = 13
MOST_BELOW = 10
_MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])")
#: Currencies that have a picture of their own; the table has all.
_MOST_PICTURES = 3


@router.get("/overview")
def overview_page(request: Request, connection: ReadConnection, context: Context) -> HTMLResponse:
    """The last 13 months; `?month=YYYY-MM` narrows down all but the tables by month, `?backfill=1` includes loaded
    history."""
    phrases = overview_phrases(viewer(request).language)
    backfill = request.query_params.get("backfill") == "1"
    all_months = overview.recent_months(connection, context.time_source.now(), MONTHS)
    wanted = request.query_params.get("month", "")
    chosen = [Month(wanted)] if _MONTH.fullmatch(wanted) else all_months
    counts, chosen_counts, times_by_month, times_by_severity = context.recent.get(
        ("overview", tuple(all_months), tuple(chosen), backfill),
        lambda: _attainment(connection, all_months, chosen, backfill=backfill),
    )
    by_month = attainment.shares_by_month(counts, backfill=backfill)
    below, below_total = months.months_below_guarantee(connection, chosen, limit=MOST_BELOW)
    credit_rows = overview.credits_by_month(connection, all_months)
    by_tenant = context.recent.get(
        ("attainment by tenant", tuple(chosen), backfill, None),
        lambda: attainment.attainment_by_tenant(connection, chosen, backfill=backfill),
    )
    return page(
        request,
        "overview.html",
        active="overview",
        phrases=phrases,
        money=formatted,
        now=context.time_source.now(),
        open=overview.open_by_severity(connection),
        by_month=by_month,
        resolution=any(one.metric == "resolution" for one in (*counts, *chosen_counts)),
        times_by_month=times_by_month,
        by_severity=attainment.shares_by_severity(chosen_counts, chosen, backfill=backfill),
        times_by_severity=times_by_severity,
        by_tenant=by_tenant,
        no_times=attainment.NO_TIMES,
        backfill=backfill,
        backfilled=sum(one.total for one in counts if one.backfill),
        lapses=overview.worst_lapses(connection, chosen, backfill=backfill),
        credits=credit_rows,
        credit_charts=_credit_charts(credit_rows, all_months, phrases),
        attainment_chart=_attainment_chart(by_month, all_months, phrases) if by_month else None,
        below=below,
        below_total=below_total,
        guarantee={
            (one.name, one.version): exact_decimal(one.guarantee)
            for versions in context.policies.by_name.values()
            for one in versions
        },
        month=chosen[0] if len(chosen) == 1 else None,
        months=all_months,
        known_months=context.recent.get(("known months",), lambda: overview.known_months(connection)),
        period=chosen[0] if len(chosen) == 1 else phrases.span.format(first=chosen[0], last=chosen[-1]),
        percent=_percent,
        address=_address,
    )


def _attainment(
    connection: Connection, all_months: Sequence[Month], chosen: Sequence[Month], *, backfill: bool
) -> tuple[list[VerdictCount], list[VerdictCount], dict[str, TimesRow], dict[str, TimesRow]]:
    """What the overview says of all its months and of the chosen ones: counts of verdicts, then times by month and by
    severity."""
    counts = chosen_counts = attainment.verdict_counts(connection, all_months)
    took = chosen_took = attainment.took_times(connection, all_months, backfill=backfill)
    if not set(chosen) <= set(all_months):
        chosen_counts = attainment.verdict_counts(connection, chosen)
        chosen_took = attainment.took_times(connection, chosen, backfill=backfill)
    by_month = {row.key: row for row in took.by_month()}
    return counts, chosen_counts, by_month, {row.key: row for row in chosen_took.by_severity(chosen)}


def _address(*, month: str | None, backfill: bool) -> str:
    query = {**({"month": month} if month else {}), **({"backfill": "1"} if backfill else {})}
    return f"/overview?{urlencode(query)}" if query else "/overview"


def _percent(phrases: OverviewPhrases, share: Share | None) -> str:
    if share is None or not share.total:
        return "–"
    # Rounded down: 99.97 is not 100.
    tenths = share.met * 1000 // share.total
    return phrases.share.format(percent=f"{tenths / 10:.1f}", met=f"{share.met:,}", total=f"{share.total:,}")


def _attainment_chart(rows: Sequence[AttainmentRow], all_months: Sequence[Month], phrases: OverviewPhrases) -> str:
    by_month = {row.key: row for row in rows}
    groups = []
    for month in all_months:
        columns = []
        for series, metric in enumerate(("response", "update"), 1):
            share = by_month[month].shares.get(metric) if month in by_month else None
            hover = phrases.attainment_hover.format(
                month=month, metric=phrases.metrics[metric], share=_percent(phrases, share)
            )
            columns.append(Column(None if share is None else share.percent, hover, series))
        groups.append(ColumnGroup(month, tuple(columns)))
    return column_chart(
        groups,
        identity="attainment",
        name=phrases.attainment_title,
        description=phrases.attainment_description,
        top=100,
        top_label="100 %",
    )


def _credit_charts(rows: Sequence[CreditsRow], all_months: Sequence[Month], phrases: OverviewPhrases) -> list[str]:
    """A picture for each of the first currencies."""
    currencies = sorted({row.currency for row in rows})
    return [_credit_chart(rows, all_months, currency, phrases) for currency in currencies[:_MOST_PICTURES]]


def _credit_chart(
    rows: Sequence[CreditsRow], all_months: Sequence[Month], currency: str, phrases: OverviewPhrases
) -> str:
    amounts = {row.month: row.settled + row.provisional for row in rows if row.currency == currency}
    top = max(amounts.values(), default=0)
    groups = [
        ColumnGroup(
            month,
            (
                Column(
                    float(amounts[month]) if month in amounts else None,
                    phrases.credit_hover.format(month=month, amount=formatted(amounts.get(month, 0), currency)),
                    3,
                ),
            ),
        )
        for month in all_months
    ]
    whole = formatted(top, currency)
    digits = digits_of(currency)
    return column_chart(
        groups,
        identity=f"credits-{currency}",
        name=f"{phrases.credits_title}, {currency}",
        description=phrases.credits_description.format(currency=currency),
        top=float(top),
        top_label=whole if not digits else whole[: -digits - 1],
    )
