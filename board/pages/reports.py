"""Reports over all tenants: a quarter as a page, CSV, JSON, and a page that needs nothing else."""

from __future__ import annotations

from http import HTTPStatus
from typing import Literal

from fastapi import APIRouter, Request, Response

from board.access.requirement import requires
from board.dependencies import Context, ReadConnection
from board.pages.errors import error_page
from board.pages.render import page
from board.queries.overview import known_months
from board.queries.reports import fleet_report, fleet_totals
from board.reports.charts import pictures
from board.reports.formats import as_csv, as_html, as_json, sentence
from board.reports.quarters import quarter_months, quarters_of
from board.reports.report import tables_of
from board.reports.texts import report_phrases
from board.viewer import viewer
from connect.actions.permissions import Permission
from streams.money import formatted
from streams.sla.instants import month_of

router = APIRouter(include_in_schema=False, dependencies=[requires(Permission.READ_OVERVIEW)])

#: Statements on the page, those with the lowest availability; the downloads have all.
LOWEST = 100
_MEDIA_TYPES = {"csv": "text/csv", "json": "application/json", "html": "text/html"}


@router.get("/reports/fleet")
def fleet_page(request: Request, connection: ReadConnection, context: Context) -> Response:
    """`?quarter=2026-Q1`; without it, the latest quarter of which anything is known."""
    language = viewer(request).language
    phrases = report_phrases(language)
    known = context.recent.get(("known months",), lambda: known_months(connection))
    quarters = quarters_of(known or [month_of(context.time_source.now(), "UTC")])
    quarter = request.query_params.get("quarter", quarters[0])
    months = quarter_months(quarter)
    if months is None:
        return _no_quarter(request, quarter)
    found = context.recent.get(("fleet report", months), lambda: fleet_report(connection, months, lowest=LOWEST))
    totals = context.recent.get(("fleet totals", months), lambda: fleet_totals(connection, months))
    return page(
        request,
        "reports/fleet.html",
        active="overview",
        phrases=phrases,
        quarter=quarter,
        quarters=quarters if quarter in quarters else [quarter, *quarters],
        found=found,
        totals=totals,
        pictures=list(pictures(found, context.policies, phrases)),
        tables={table.name: table for table in tables_of(found, language)},
        sentence=sentence,
        money=formatted,
    )


@router.get("/reports/fleet.{kind}")
def fleet_file(
    request: Request, connection: ReadConnection, context: Context, kind: Literal["csv", "json", "html"]
) -> Response:
    """The whole report of a quarter, as `sla report --quarter` gives it."""
    quarter = request.query_params.get("quarter", "")
    months = quarter_months(quarter)
    if months is None:
        return _no_quarter(request, quarter)
    found, language = fleet_report(connection, months), viewer(request).language
    match kind:
        case "csv":
            text = as_csv(found)
        case "json":
            text = as_json(found)
        case "html":
            title = report_phrases(language).fleet_title.format(quarter=quarter)
            text = as_html(found, title, context.policies, language)
    headers = {"Content-Disposition": f'attachment; filename="sla-report-{quarter}.{kind}"'}
    return Response(text, media_type=f"{_MEDIA_TYPES[kind]}; charset=utf-8", headers=headers)


def _no_quarter(request: Request, given: str) -> Response:
    phrases = report_phrases(viewer(request).language)
    return error_page(request, HTTPStatus.NOT_FOUND, hint=phrases.wrong_quarter.format(given=given[:64] or "–"))
