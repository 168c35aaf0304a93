"""Reports over all tenants: a quarter as a page, CSV, JSON, and a page that needs nothing else."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from board.access.requirement import requires
from board.dependencies import Context, ReadConnection
from board.pages.quarter import FileKind, QuarterView, asked_quarter, quarter_file, quarter_page
from board.pages.texts import board_phrases
from board.queries.overview import known_months
from board.queries.reports import fleet_report, fleet_totals
from board.reports.quarters import quarters_of
from board.reports.texts import report_phrases
from board.viewer import viewer
from connect.actions.permissions import Permission
from streams.sla.instants import month_of

router = APIRouter(include_in_schema=False, dependencies=[requires(Permission.READ_OVERVIEW)])

#: Statements on the page, those with the lowest availability; the downloads have all.
LOWEST = 100


@router.get("/reports/fleet")
def fleet_page(request: Request, connection: ReadConnection, context: Context) -> Response:
    """`?quarter=2026-Q1`; without it, the latest quarter of which anything is known."""
    language = viewer(request).language
    known = context.recent.get(("known months",), lambda: known_months(connection))
    quarters = quarters_of(known or [month_of(context.time_source.now(), "UTC")])
    asked = asked_quarter(request, quarters[0])
    if isinstance(asked, Response):
        return asked
    quarter, months = asked
    phrases, above = report_phrases(language), ("/overview", board_phrases(language).pages["overview"])
    view = QuarterView(
        phrases.fleet_title.format(quarter=quarter), "/reports/fleet", above, "overview", phrases.scope_hint
    )
    found = context.recent.get(("fleet report", months), lambda: fleet_report(connection, months, lowest=LOWEST))
    totals = context.recent.get(("fleet totals", months), lambda: fleet_totals(connection, months))
    return quarter_page(request, context, view, quarter, quarters, found, totals)


@router.get("/reports/fleet.{kind}")
def fleet_file(request: Request, connection: ReadConnection, context: Context, kind: FileKind) -> Response:
    """The whole report of a quarter, as `sla report --quarter` gives it."""
    asked = asked_quarter(request, None)
    if isinstance(asked, Response):
        return asked
    quarter, months = asked
    title = report_phrases(viewer(request).language).fleet_title.format(quarter=quarter)
    found = fleet_report(connection, months)
    return quarter_file(request, context, kind, title, f"sla-report-{quarter}", found)
