"""Tenants and their months: the list, a tenant's 13 months, a month with its statement."""

from __future__ import annotations

import re
from typing import cast
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse
from sqlalchemy import Connection

from board.access.requirement import requires
from board.charts.bars import AvailabilityBar, availability_chart
from board.dependencies import BoardContext, Context, ReadConnection, Scope
from board.pages.action_sections import may_act
from board.pages.action_texts import action_page_phrases
from board.pages.addresses import path_segments
from board.pages.erasure import erasure_section
from board.pages.errors import error_page
from board.pages.month import customer_file, month_csv, month_page, start_verification, verification_part
from board.pages.overview_texts import overview_phrases
from board.pages.quarter import FileKind
from board.pages.tenant_area import contract_rows, tenant_area
from board.pages.tenant_quarter import tenant_quarter_file, tenant_quarter_page
from board.pages.tenant_texts import TenantPhrases, tenant_phrases
from board.queries import contracts, months
from board.queries.months import TenantMonth
from board.viewer import viewer
from connect.actions.permissions import PLATFORM, Permission
from streams.config_files.scalars import exact_decimal
from streams.sla.contracts import ContractHistory
from streams.sla.instants import DAY, Month, month_bounds, month_of, next_month
from streams.sla.policy import Policies

router = APIRouter(include_in_schema=False, dependencies=[requires(Permission.READ_TENANTS, scoped=True)])

ON_A_PAGE = 100
MONTHS = 13
#: Earlier months with a credit that a tenant's page links to.
CREDITED = 12
_LONGEST_SEARCH = 256
_MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])")


@router.get("/tenants")
def tenant_list(
    request: Request, connection: ReadConnection, context: Context, scope: Scope, q: str = ""
) -> HTMLResponse:
    """The tenants, worst first; `q` searches in ids."""
    number = _number(request.query_params.get("page"))
    search = q.strip()[:_LONGEST_SEARCH]
    first = (number - 1) * ON_A_PAGE
    found = months.tenants(connection, search=search, limit=ON_A_PAGE, offset=first, scope=scope)
    return tenant_area(
        request,
        "tenants.html",
        found=found,
        search=search,
        first=first + 1,
        last=first + len(found.rows),
        previous=f"?{urlencode({'q': search, 'page': number - 1})}" if number > 1 else None,
        following=f"?{urlencode({'q': search, 'page': number + 1})}" if first + len(found.rows) < found.total else None,
        guarantee=_guarantees(context.policies),
        may_import=may_act(request, "import-contracts", PLATFORM if scope.tenants is None else scope.tenants),
    )


def _number(text: str | None) -> int:
    return max(1, int(text)) if text and text.isascii() and text.isdigit() and len(text) < 7 else 1


@router.get("/tenants/{rest:path}")
def tenant_address(request: Request, connection: ReadConnection, context: Context, scope: Scope) -> Response:
    """`/tenants/ID` (`?until=MONTH`: the months up to it), `/tenants/ID/MONTH`, `/tenants/ID/MONTH/statement`,
    `…/statement.csv`, and for the customer `…/customer.html`, `.json` and `.csv`; `/tenants/ID/report?quarter=2026-Q1`,
    also `report.csv` and so on. Ids are one segment."""
    match path_segments(request)[1:]:
        case [tenant, *_] if not scope.sees(tenant):
            return _unknown(request, tenant)
        case [tenant]:
            return _tenant(request, connection, context, tenant)
        case [tenant, "report"] if months.tenant_known(connection, tenant):
            return tenant_quarter_page(request, connection, context, tenant)
        case [tenant, ("report.csv" | "report.json" | "report.html") as name] if months.tenant_known(
            connection, tenant
        ):
            kind = cast(FileKind, name.partition(".")[2])
            return tenant_quarter_file(request, connection, context, tenant, kind)
        case [tenant, month] if _MONTH.fullmatch(month):
            return month_page(request, connection, context, scope, tenant, month, "month.html")
        case [tenant, month, "statement"] if _MONTH.fullmatch(month):
            return month_page(request, connection, context, scope, tenant, month, "statement.html")
        case [tenant, month, "statement.csv"] if _MONTH.fullmatch(month):
            return month_csv(request, connection, context.policies, tenant, month)
        case [tenant, month, ("customer.html" | "customer.json" | "customer.csv") as name] if _MONTH.fullmatch(month):
            return customer_file(request, connection, context.policies, tenant, month, name.partition(".")[2])
        case [tenant, month, "verification"] if _MONTH.fullmatch(month):
            return verification_part(request, context, tenant, month)
    return error_page(request, 404)


@router.post("/tenants/{rest:path}")
def tenant_action(request: Request, context: Context, scope: Scope) -> Response:
    """`/tenants/ID/MONTH/verification?revision=N` starts a verification."""
    match path_segments(request)[1:]:
        case [tenant, *_] if not scope.sees(tenant):
            return _unknown(request, tenant)
        case [tenant, month, "verification"] if _MONTH.fullmatch(month):
            return start_verification(request, context, tenant, month)
    return error_page(request, 404)


# -- a tenant --------------------------------------------------------------------------------------------------------


def _tenant(request: Request, connection: Connection, context: BoardContext, tenant: str) -> HTMLResponse:
    phrases = tenant_phrases(viewer(request).language)
    if not months.tenant_known(connection, tenant):
        return _unknown(request, tenant)
    until = request.query_params.get("until")
    if until is not None and not _MONTH.fullmatch(until):
        until = None
    before = None if until is None else next_month(Month(until))
    found = months.tenant_months(connection, tenant, limit=MONTHS + 1, before=before)
    rows = found[-MONTHS:]
    credited = rows and months.tenant_months(connection, tenant, limit=CREDITED, before=rows[0].month, credited=True)
    guarantee = _guarantees(context.policies)
    chart = None
    start, end = None, None
    if rows:
        bars = _bars(rows, phrases, guarantee)
        chart = availability_chart(
            bars,
            identity="availability",
            name=phrases.availability_title,
            description=phrases.chart_description.format(tenant=tenant, first=bars[0].label, last=bars[-1].label),
        )
        end = rows[-1].stated_at + 31 * DAY
        start = rows[-1].stated_at - 92 * DAY
    history = contracts.contract_history(connection, tenant)
    now = context.time_source.now()
    windows = contracts.maintenance_of(connection, tenant, start=start, end=end) if start and end else []
    return tenant_area(
        request,
        "tenant.html",
        tenant=tenant,
        rows=rows[::-1],
        earlier=f"?until={found[0].month}" if len(found) > MONTHS else None,
        later=until is not None,
        credited=credited[::-1],
        chart=chart,
        contracts=contract_rows(history, now),
        open_month=None if until else _open_month(history, rows, now),
        windows=windows,
        windows_span=(start, end),
        section=erasure_section(request, context, tenant),
        quarter_report=overview_phrases(viewer(request).language).quarter_report,
        action_phrases=action_page_phrases(viewer(request).language),
        guarantee=guarantee,
    )


def _unknown(request: Request, tenant: str) -> HTMLResponse:
    phrases = tenant_phrases(viewer(request).language)
    title = phrases.unknown_tenant.format(tenant=tenant)
    return error_page(request, 404, title=title, hint=phrases.unknown_tenant_hint)


def _open_month(history: ContractHistory, rows: list[TenantMonth], now: int) -> Month | None:
    """The present month, where it is under contract and has no statement."""
    if not len(history):
        return None
    month = month_of(now, history.zone)
    stated = any(row.month == month for row in rows)
    return None if stated or not history.spans(*month_bounds(month, history.zone)) else month


def _bars(
    rows: list[TenantMonth], phrases: TenantPhrases, guarantee: dict[tuple[str, str], str]
) -> list[AvailabilityBar]:
    """The 13 months that end with the latest one, those without a statement included."""
    by_month = {row.month: row for row in rows}
    year, number = int(rows[-1].month[:4]) - 1, rows[-1].month[4:]
    month = Month(f"{year:04d}{number}")
    found = []
    for _ in range(MONTHS):
        row = by_month.get(month)
        if row is None:
            found.append(AvailabilityBar(month, None, "", None, True, phrases.bar_hover_none.format(month=month)))
        else:
            promised = guarantee.get((row.policy, row.policy_version))
            word = phrases.guarantee_words["met" if row.guarantee_met else "missed"]
            found.append(
                AvailabilityBar(
                    label=month,
                    availability=row.availability * 100,
                    shown=_short_percent(row.availability_percent),
                    guarantee=None if promised is None else float(promised),
                    met=row.guarantee_met,
                    hover=phrases.bar_hover.format(
                        month=month, availability=row.availability_percent, guarantee=f"{promised or '–'} %, {word}"
                    ),
                )
            )
        month = next_month(month)
    return found


def _short_percent(text: str) -> str:
    """A percentage with three decimals, rounded down: 99.987."""
    whole, _, rest = text.partition(".")
    return f"{whole}.{rest[:3]}".rstrip("0").rstrip(".") if rest else whole


def _guarantees(policies: Policies) -> dict[tuple[str, str], str]:
    """The guaranteed percentage of each deployed version."""
    return {
        (one.name, one.version): exact_decimal(one.guarantee)
        for versions in policies.by_name.values()
        for one in versions
    }
