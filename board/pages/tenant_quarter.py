"""The report of one tenant's quarter, with the figures of `sla report --tenant --quarter`."""

from __future__ import annotations

from fastapi import Request, Response
from sqlalchemy import Connection

from board.dependencies import BoardContext
from board.pages.quarter import FileKind, QuarterView, asked_quarter, quarter_file, quarter_page
from board.pages.render import segment
from board.queries.reports import stated_months, tenant_report, totals_of
from board.reports.quarters import quarters_of
from board.reports.texts import report_phrases
from board.viewer import viewer
from streams.sla.instants import month_of


def tenant_quarter_page(request: Request, connection: Connection, context: BoardContext, tenant: str) -> Response:
    """`?quarter=2026-Q1`; without it, the latest quarter with a statement."""
    quarters = quarters_of(stated_months(connection, tenant) or [month_of(context.time_source.now(), "UTC")])
    asked = asked_quarter(request, quarters[0])
    if isinstance(asked, Response):
        return asked
    quarter, months = asked
    phrases, address = report_phrases(viewer(request).language), f"/tenants/{segment(tenant)}"
    title = phrases.tenant_title.format(tenant=tenant, quarter=quarter)
    view = QuarterView(title, f"{address}/report", (address, tenant), "tenants", phrases.tenant_scope_hint)
    found = context.recent.get(("tenant report", tenant, months), lambda: tenant_report(connection, tenant, months))
    return quarter_page(request, context, view, quarter, quarters, found, totals_of(found))


def tenant_quarter_file(
    request: Request, connection: Connection, context: BoardContext, tenant: str, kind: FileKind
) -> Response:
    """The same as a file."""
    asked = asked_quarter(request, None)
    if isinstance(asked, Response):
        return asked
    quarter, months = asked
    title = report_phrases(viewer(request).language).tenant_title.format(tenant=tenant, quarter=quarter)
    found = tenant_report(connection, tenant, months)
    return quarter_file(request, context, kind, title, f"sla-report-{segment(tenant)}-{quarter}", found)
