"""A tenant's month: the page, the printable statement, CSV, verification."""

from __future__ import annotations

import json
import re

from fastapi import Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from sqlalchemy import Connection

from board.background.jobs import Job, TooManyJobs
from board.background.verification import VerificationRequest, verify_statement
from board.charts.strips import StripSpan, days_of, month_strips
from board.dependencies import BoardContext
from board.pages.action_texts import action_page_phrases
from board.pages.claim import claim_section
from board.pages.errors import error_page
from board.pages.month_so_far import month_so_far_page
from board.pages.month_view import MOST_EVIDENCE, MonthView, SpanRow, customer_statement, month_view
from board.pages.render import segment
from board.pages.tenant_area import local_text, tenant_area
from board.pages.tenant_texts import TenantPhrases, tenant_phrases
from board.pages.texts import board_phrases
from board.queries import months
from board.queries.tenant_scope import TenantScope
from board.reports.customer import statement_html, statement_json
from board.statement_csv import statement_csv
from board.viewer import viewer
from streams.sla.credits.submitted import SubmittedStatement
from streams.sla.policy import Policies


def month_page(
    request: Request,
    connection: Connection,
    context: BoardContext,
    scope: TenantScope,
    tenant: str,
    month: str,
    template: str,
) -> HTMLResponse:
    """The latest revision of a month, or that of `?revision=`, as the page or as the printable statement; before the
    first statement, the page of what is known so far."""
    phrases = tenant_phrases(viewer(request).language)
    view = month_view(connection, context.policies, tenant, month, _revision(request), scope)
    if view is None:
        if template == "month.html" and "revision" not in request.query_params:
            so_far = month_so_far_page(request, connection, context, tenant, month)
            if so_far is not None:
                return so_far
        title = phrases.unknown_month.format(tenant=tenant, month=month)
        return error_page(request, 404, title=title, hint=phrases.unknown_month_hint)
    before, after = months.months_with_statements(connection, tenant, month)
    return tenant_area(
        request,
        template,
        tenant=tenant,
        month=month,
        view=view,
        terms=view.detail.terms,
        evidence=view.detail.evidence[:MOST_EVIDENCE],
        more_evidence=max(0, len(view.detail.evidence) - MOST_EVIDENCE),
        strips=_strips(view, phrases, request, with_incidents=template == "month.html"),
        before=before,
        after=after,
        job=context.background.verifications.latest(_key(tenant, month, view.detail.terms.revision)),
        busy="busy" in request.query_params,
        section=claim_section(request, context, connection, tenant, month) if template == "month.html" else None,
        action_phrases=action_page_phrases(viewer(request).language),
    )


def _revision(request: Request) -> int | None:
    text = request.query_params.get("revision", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _strips(view: MonthView, phrases: TenantPhrases, request: Request, *, with_incidents: bool) -> str:
    terms = view.detail.terms
    zone = terms.period.zone
    common = board_phrases(viewer(request).language)

    def hover(row: SpanRow) -> str:
        shown = phrases.span_hover.format(
            kind=phrases.span_kinds[row.kind],
            start=local_text(row.start, zone),
            end=local_text(row.end, zone),
            length=common.duration(row.end - row.start),
        )
        return "\n".join([shown, *(link.incident_id for link in row.incidents if with_incidents)])

    spans = [
        StripSpan(row.kind, row.start, row.end, hover(row))
        for row in sorted(view.spans, key=lambda row: _DRAWN.index(row.kind))
    ]
    kinds = [row.kind for row in view.spans]
    return month_strips(
        days_of(terms.period.start, terms.period.end, zone),
        spans,
        identity="strips",
        name=phrases.strips_title,
        description=phrases.strips_description.format(
            month=terms.month,
            tenant=terms.tenant,
            zone=zone,
            outages=kinds.count("outage"),
            excluded=kinds.count("excluded"),
            outside=kinds.count("outside"),
        ),
    )


#: Kinds of spans in the order in which they are drawn, the last on top.
_DRAWN = ("outside", "ahead", "excluded", "outage")


def month_csv(request: Request, connection: Connection, policies: Policies, tenant: str, month: str) -> Response:
    """A revision as CSV."""
    view = month_view(connection, policies, tenant, month, _revision(request))
    if view is None:
        return error_page(request, 404)
    return _file(view.detail.terms, "csv", statement_csv(view.detail.terms, view.lines, view.detail.evidence))


def customer_file(
    request: Request, connection: Connection, policies: Policies, tenant: str, month: str, kind: str
) -> Response:
    """The latest revision for the customer, as `sla report --customer` gives it, or that of `?revision=`: one page that
    needs nothing else in the language of the viewer, JSON or CSV."""
    found = customer_statement(connection, policies, tenant, month, _revision(request))
    if found is None:
        return error_page(request, 404)
    match kind:
        case "json":
            text = statement_json(found)
        case "csv":
            text = statement_csv(found.terms, found.lines)
        case _:
            text = statement_html(found, viewer(request).language)
    return _file(found.terms, kind, text)


_MEDIA_TYPES = {"csv": "text/csv", "json": "application/json", "html": "text/html"}


def _file(terms: SubmittedStatement, kind: str, text: str) -> Response:
    name = re.sub(r"[^A-Za-z0-9_-]", "_", terms.tenant)[:64]
    filename = f"statement-{name}-{terms.month}-{terms.revision}.{kind}"
    headers = {"Content-Disposition": f'attachment; filename="{filename}"'}
    return Response(text, media_type=f"{_MEDIA_TYPES[kind]}; charset=utf-8", headers=headers)


# -- verification ----------------------------------------------------------------------------------------------------


def start_verification(request: Request, context: BoardContext, tenant: str, month: str) -> Response:
    """Start recomputing a revision, unless that is going on, and lead back to the month."""
    revision = _revision(request)
    if revision is None:
        return error_page(request, 400, detail="revision: the number of a revision is missing")
    work = VerificationRequest(
        context.engine.url.render_as_string(hide_password=False),
        context.policies,
        context.kafka.time_limits(),
        tenant,
        month,
        revision,
    )
    address = f"/tenants/{segment(tenant)}/{month}?revision={revision}"
    try:
        context.background.verifications.submit(_key(tenant, month, revision), None, verify_statement, work)
    except TooManyJobs:
        address += "&busy=1"
    return RedirectResponse(f"{address}#verification", status_code=303)


def verification_part(request: Request, context: BoardContext, tenant: str, month: str) -> Response:
    """How a verification stands, as a part of the page."""
    revision = _revision(request)
    job: Job | None = None
    if revision is not None:
        job = context.background.verifications.latest(_key(tenant, month, revision))
    return tenant_area(request, "verification.html", tenant=tenant, month=month, revision=revision, job=job, busy=False)


def _key(tenant: str, month: str, revision: int) -> str:
    return json.dumps([tenant, month, revision])
