"""GET /api/v1/attainment and /api/v1/overview: how well guaranteed times were kept, and what that costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field
from sqlalchemy import Connection

from board.access.requirement import requires
from board.api.problems import ParameterProblem, described, wrong_parameters
from board.api.route import ApiRoute, json_response
from board.api.tenants import MonthBody, month_body
from board.api.types import InstantText, MoneyBody, MonthText, TitleBody, instant_text, seconds_of
from board.dependencies import Context, ReadConnection
from board.queries import attainment as queries
from board.queries.attainment import AttainmentRow, Durations, TimesRow
from board.queries.months import months_below_guarantee
from board.queries.overview import (
    CreditsRow,
    LapseRow,
    credits_by_month,
    open_by_severity,
    recent_months,
    worst_lapses,
)
from connect.actions.permissions import Permission
from streams.sla.instants import Month, format_rfc3339, next_month

router = APIRouter(route_class=ApiRoute, tags=["overview"], dependencies=[requires(Permission.READ_OVERVIEW)])

_DEFAULT_MONTHS = 13
#: Of months, as `MonthText` has it.
_FIRST_YEAR = 1970
_MOST_MONTHS = 36
_MOST_TENANTS = 100

_First = Annotated[MonthText | None, Query(alias="from", description="First UTC month; default: 13 months in all.")]
_Last = Annotated[
    MonthText | None, Query(alias="to", description="Last UTC month; default: the present, or the last with data.")
]
_Backfill = Annotated[bool, Query(description="Whether incidents that were loaded as history count.")]


class ShareBody(BaseModel):
    """Clocks of one metric that had a verdict."""

    met: int
    total: int
    percent: float | None = Field(description="0 to 100; null when there are none.")


class DurationsBody(BaseModel):
    """Median and 90th percentile in seconds, by the nearest rank."""

    count: int
    median_s: int | float | None
    p90_s: int | float | None


class AttainmentBody(BaseModel):
    """Attainment under one key. Metrics without a verdict are left out."""

    key: str = Field(description="A severity, month or tenant.")
    shares: dict[str, ShareBody] = Field(description="By metric: response, update, resolution.")
    time_to_respond: DurationsBody | None = Field(description="Null for tenants.")
    time_to_resolve: DurationsBody | None = Field(description="Null for tenants.")


class AttainmentListBody(BaseModel):
    """Attainment over some UTC months."""

    months: list[MonthText]
    by: str
    attainment: list[AttainmentBody]


class OpenBody(BaseModel):
    """Open incidents of a severity."""

    severity: str
    open: int
    breached: int
    next_deadline: InstantText | None


class MonthCreditsBody(BaseModel):
    """Credits of a month in one currency: of final and adjusted statements, of provisional ones, issued to billing."""

    month: MonthText
    settled: MoneyBody
    provisional: MoneyBody
    issued: MoneyBody
    tenants: int


class LapseBody(BaseModel):
    """An incident with breached clocks."""

    incident_id: str
    title: TitleBody
    severity: str
    status: str
    component: str
    opened_at: InstantText
    breaches: int
    breaches_by_metric: dict[str, int]
    response_late_s: int | float | None


class TenantMonthBody(BaseModel):
    """A tenant's month."""

    tenant_id: str
    month: MonthBody


class OverviewBody(BaseModel):
    """Figures over all tenants for some UTC months; `open_incidents` are those of now."""

    months: list[MonthText]
    open_incidents: list[OpenBody]
    credits: list[MonthCreditsBody]
    worst_lapses: list[LapseBody]
    below_guarantee: list[TenantMonthBody] = Field(description="The latest months first, at most 100.")
    below_guarantee_total: int


@router.get("/attainment", response_model=AttainmentListBody, responses=described(400), summary="Show SLA attainment")
def attainment(
    context: Context,
    connection: ReadConnection,
    by: Annotated[Literal["severity", "month", "tenant"], Query()] = "severity",
    first: _First = None,
    last: _Last = None,
    backfill: _Backfill = False,
) -> Response:
    """The share of clocks met, and the times to respond and to resolve, as of at most 30 seconds ago. By tenant: the
    100 with the most breaches."""
    months = _months(connection, context.time_source.now(), first, last)
    if by == "tenant":
        found = context.recent.get(
            ("attainment by tenant", tuple(months), backfill, _MOST_TENANTS),
            lambda: queries.attainment_by_tenant(connection, months, backfill=backfill, limit=_MOST_TENANTS),
        )
        rows = [_attainment_body(each.key, each, None) for each in found]
    else:
        rows = context.recent.get(
            ("attainment", by, tuple(months), backfill), lambda: _attainment(connection, by, months, backfill=backfill)
        )
    return json_response(AttainmentListBody(months=list(months), by=by, attainment=rows))


@router.get("/overview", response_model=OverviewBody, responses=described(400), summary="Show the overview")
def overview(
    context: Context,
    connection: ReadConnection,
    first: _First = None,
    last: _Last = None,
    backfill: _Backfill = False,
) -> Response:
    """Open incidents by severity, credits by month, the worst lapses, and tenants' months below the guarantee."""
    months = _months(connection, context.time_source.now(), first, last)
    below, total = months_below_guarantee(connection, months, limit=_MOST_TENANTS)
    return json_response(
        OverviewBody(
            months=list(months),
            open_incidents=[
                OpenBody(
                    severity=each.severity,
                    open=each.open,
                    breached=each.breached,
                    next_deadline=instant_text(each.next_deadline),
                )
                for each in open_by_severity(connection)
            ],
            credits=[_credits_body(each) for each in credits_by_month(connection, months)],
            worst_lapses=[_lapse_body(each) for each in worst_lapses(connection, months, backfill=backfill)],
            below_guarantee=[TenantMonthBody(tenant_id=each.tenant_id, month=month_body(each)) for each in below],
            below_guarantee_total=total,
        )
    )


_Shares = Callable[..., Sequence[AttainmentRow]]
_Times = Callable[..., Sequence[TimesRow]]
_BY: dict[str, tuple[_Shares, _Times]] = {
    "severity": (queries.attainment_by_severity, queries.times_by_severity),
    "month": (queries.attainment_by_month, queries.times_by_month),
}


def _months(connection: Connection, now: int, first: str | None, last: str | None) -> list[Month]:
    """The months from `first` to `last`. Raises ApiError when there are none or too many."""
    if last is None:
        recent = recent_months(connection, now, _DEFAULT_MONTHS)
        if first is None:
            return recent
        last = max(recent[-1], first)
    if first is None:
        number = max(int(last[:4]) * 12 + int(last[5:]) - _DEFAULT_MONTHS, _FIRST_YEAR * 12)
        first = f"{number // 12:04d}-{number % 12 + 1:02d}"
    found = [Month(first)]
    while found[-1] < last and len(found) <= _MOST_MONTHS:
        found.append(next_month(found[-1]))
    if first > last or len(found) > _MOST_MONTHS:
        problem = f"{first} to {last} is not allowed; allowed: 1 to {_MOST_MONTHS} months, `from` not after `to`"
        raise wrong_parameters([ParameterProblem(parameter="from", problem=problem)])
    return found


def _attainment(connection: Connection, by: str, months: Sequence[Month], *, backfill: bool) -> list[AttainmentBody]:
    shares, times = _BY[by]
    times_by_key = {each.key: each for each in times(connection, months, backfill=backfill)}
    shares_by_key = {each.key: each for each in shares(connection, months, backfill=backfill)}
    return [
        _attainment_body(key, shares_by_key.get(key), times_by_key.get(key))
        for key in sorted({*times_by_key, *shares_by_key})
    ]


def _attainment_body(key: str, row: AttainmentRow | None, times: TimesRow | None) -> AttainmentBody:
    shares = {} if row is None else row.shares
    return AttainmentBody(
        key=key,
        shares={
            metric: ShareBody(met=each.met, total=each.total, percent=each.percent) for metric, each in shares.items()
        },
        time_to_respond=None if times is None else _durations_body(times.respond),
        time_to_resolve=None if times is None else _durations_body(times.resolve),
    )


def _durations_body(row: Durations) -> DurationsBody:
    return DurationsBody(
        count=row.count,
        median_s=None if row.median is None else seconds_of(row.median),
        p90_s=None if row.p90 is None else seconds_of(row.p90),
    )


def _credits_body(row: CreditsRow) -> MonthCreditsBody:
    def money(amount: int) -> MoneyBody:
        return MoneyBody(amount_minor=amount, currency=row.currency)

    return MonthCreditsBody(
        month=row.month,
        settled=money(row.settled),
        provisional=money(row.provisional),
        issued=money(row.issued),
        tenants=row.tenants,
    )


def _lapse_body(row: LapseRow) -> LapseBody:
    return LapseBody(
        incident_id=row.incident_id,
        title=TitleBody(en=row.title_en, ja=row.title_ja),
        severity=row.severity,
        status=row.status,
        component=row.component,
        opened_at=format_rfc3339(row.opened_at),
        breaches=row.breaches,
        breaches_by_metric=row.by_metric,
        response_late_s=None if row.response_late is None else seconds_of(row.response_late),
    )
