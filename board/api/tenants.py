"""GET /api/v1/tenants: tenants, their contract terms, their months and breaches."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, Field

from board.access.requirement import requires
from board.api.problems import described, not_found
from board.api.route import ApiRoute, json_response
from board.api.types import (
    CursorText,
    EvidenceBody,
    Id,
    InstantText,
    MoneyBody,
    MonthText,
    PageSize,
    PolicyVersionBody,
    SearchText,
    decode_cursor,
    encode_cursor,
    instant_text,
    seconds_of,
    wrong_cursor,
)
from board.dependencies import ReadConnection, Scope
from board.queries.breaches import BreachedClock, BreachKey, breaches_of
from board.queries.contracts import contract_history
from board.queries.months import TenantMonth, tenant_known, tenant_months
from board.queries.months import tenants as find_tenants
from connect.actions.permissions import Permission
from streams.sla.contracts import Contract
from streams.sla.instants import format_rfc3339

router = APIRouter(
    route_class=ApiRoute, tags=["tenants"], dependencies=[requires(Permission.READ_TENANTS, scoped=True)]
)

#: Tenants that may be passed over: their order is not an index.
_FURTHEST = 1_000_000


class MonthBody(BaseModel):
    """What a tenant's month comes to by its latest statement."""

    month: MonthText
    revision: int
    status: str = Field(description="provisional, final or adjusted.")
    availability_percent: str = Field(description="Rounded down to 6 decimals.")
    guarantee_met: bool
    downtime_s: int | float
    excluded_s: int | float
    credit: MoneyBody
    policy: PolicyVersionBody
    stated_at: InstantText = Field(description="The nominal instant of the statement.")


class TenantBody(BaseModel):
    """A tenant with its latest month, null before its first statement."""

    tenant_id: str
    latest_month: MonthBody | None


class TenantListBody(BaseModel):
    """A page of tenants."""

    tenants: list[TenantBody]
    total: int
    next_cursor: str | None


class TermsBody(BaseModel):
    """Contract terms as a fact set them. They rule from `valid_from` until the next ones begin, or until `valid_to`."""

    valid_from: InstantText
    valid_to: InstantText | None
    plan: str = Field(description="The name of the policy.")
    monthly_charge: MoneyBody
    tier: int | None
    time_zone: str | None
    emergency_member: bool
    evidence: EvidenceBody


class TenantDetailBody(BaseModel):
    """A tenant."""

    tenant_id: str
    latest_month: MonthBody | None
    contracts: list[TermsBody] = Field(description="By `valid_from`.")


class MonthListBody(BaseModel):
    """Months of a tenant in order."""

    months: list[MonthBody]


class BreachBody(BaseModel):
    """A breach that stands."""

    incident_id: str
    metric: str
    instance: int
    deadline: InstantText
    detected_at: InstantText
    severity: str
    component: str
    scope: str
    backfill: bool


class BreachListBody(BaseModel):
    """A page of breaches by deadline."""

    breaches: list[BreachBody]
    next_cursor: str | None


@router.get("/tenants", response_model=TenantListBody, responses=described(400), summary="List tenants")
def tenants(
    connection: ReadConnection,
    scope: Scope,
    q: Annotated[SearchText | None, Query(description="A part of the tenant id.")] = None,
    limit: Annotated[PageSize, Query()] = 50,
    cursor: Annotated[CursorText | None, Query()] = None,
) -> Response:
    """Tenants that have a contract or a statement: first those whose latest month missed the guarantee, by
    availability; last those without a statement."""
    offset = 0
    if cursor is not None:
        (offset,) = decode_cursor(cursor, int)
        if not 0 < offset <= _FURTHEST:
            raise wrong_cursor()
    page = find_tenants(connection, search=q or "", limit=limit, offset=offset, scope=scope)
    end = offset + len(page.rows)
    return json_response(
        TenantListBody(
            tenants=[
                TenantBody(
                    tenant_id=each.tenant_id, latest_month=None if each.latest is None else month_body(each.latest)
                )
                for each in page.rows
            ],
            total=page.total,
            next_cursor=encode_cursor(end) if page.rows and end < page.total else None,
        )
    )


@router.get(
    "/tenants/{tenant_id:path}/months/{month}/breaches",
    response_model=BreachListBody,
    responses=described(400, 404),
    summary="List the breaches of a month",
)
def breaches(
    connection: ReadConnection,
    scope: Scope,
    tenant_id: Annotated[Id, Path()],
    month: Annotated[MonthText, Path()],
    limit: Annotated[PageSize, Query()] = 50,
    cursor: Annotated[CursorText | None, Query()] = None,
) -> Response:
    """Breaches that stand, detected in a UTC month, of incidents that concern the tenant by name or everybody."""
    if not scope.sees(tenant_id):
        raise not_found(f"there is no tenant {tenant_id!r}")
    after = None if cursor is None else BreachKey(*decode_cursor(cursor, int, str, str, int))
    found = breaches_of(connection, tenant_id, month, after=after, limit=limit + 1)
    following = None
    if len(found) > limit:
        found = found[:limit]
        key = found[-1].key
        following = encode_cursor(key.deadline, key.incident_id, key.metric, key.instance)
    return json_response(BreachListBody(breaches=[breach_body(each) for each in found], next_cursor=following))


@router.get(
    "/tenants/{tenant_id:path}/months",
    response_model=MonthListBody,
    responses=described(400, 404),
    summary="List the months of a tenant",
)
def months(
    connection: ReadConnection,
    scope: Scope,
    tenant_id: Annotated[Id, Path()],
    limit: Annotated[PageSize, Query(description="The latest so many months.")] = 13,
) -> Response:
    """The latest months that have a statement, in order."""
    if not (scope.sees(tenant_id) and tenant_known(connection, tenant_id)):
        raise not_found(f"there is no tenant {tenant_id!r}")
    found = tenant_months(connection, tenant_id, limit=limit)
    return json_response(MonthListBody(months=[month_body(each) for each in found]))


@router.get(
    "/tenants/{tenant_id:path}",
    response_model=TenantDetailBody,
    responses=described(400, 404),
    summary="Show a tenant",
)
def tenant(connection: ReadConnection, scope: Scope, tenant_id: Annotated[Id, Path()]) -> Response:
    """A tenant with its contract terms and its latest month."""
    if not (scope.sees(tenant_id) and tenant_known(connection, tenant_id)):
        raise not_found(f"there is no tenant {tenant_id!r}")
    latest = tenant_months(connection, tenant_id, limit=1)
    return json_response(
        TenantDetailBody(
            tenant_id=tenant_id,
            latest_month=month_body(latest[0]) if latest else None,
            contracts=[_terms_body(each) for each in contract_history(connection, tenant_id)],
        )
    )


def month_body(row: TenantMonth) -> MonthBody:
    """A month as the API shows it."""
    return MonthBody(
        month=row.month,
        revision=row.revision,
        status=row.status,
        availability_percent=row.availability_percent,
        guarantee_met=row.guarantee_met,
        downtime_s=seconds_of(row.downtime),
        excluded_s=seconds_of(row.excluded),
        credit=MoneyBody(amount_minor=row.credit_minor, currency=row.currency),
        policy=PolicyVersionBody(name=row.policy, version=row.policy_version),
        stated_at=format_rfc3339(row.stated_at),
    )


def breach_body(row: BreachedClock) -> BreachBody:
    """A breach as the API shows it."""
    return BreachBody(
        incident_id=row.incident_id,
        metric=row.metric,
        instance=row.instance,
        deadline=format_rfc3339(row.deadline),
        detected_at=format_rfc3339(row.at),
        severity=row.severity,
        component=row.component,
        scope=row.scope,
        backfill=row.backfill,
    )


def _terms_body(terms: Contract) -> TermsBody:
    return TermsBody(
        valid_from=format_rfc3339(terms.valid_from),
        valid_to=instant_text(terms.valid_to),
        plan=terms.plan,
        monthly_charge=MoneyBody(amount_minor=terms.charge.amount_minor, currency=terms.charge.currency),
        tier=terms.tier,
        time_zone=terms.time_zone,
        emergency_member=terms.emergency_member,
        evidence=EvidenceBody(
            topic=terms.position.topic, partition=terms.position.partition, offset=terms.position.offset
        ),
    )
