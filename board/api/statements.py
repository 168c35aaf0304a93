"""GET /api/v1/tenants/{tenant_id}/months/{month}: the statement of a tenant's month with its revisions."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, Field

from board.access.requirement import requires
from board.api.problems import described, not_found
from board.api.route import ApiRoute, json_response
from board.api.types import EvidenceBody, Id, InstantText, MoneyBody, MonthText
from board.dependencies import ReadConnection, Scope
from board.queries.statements import StatementDetail, claims, issued_credits, revisions
from connect.actions.permissions import Permission
from streams.sla.events import Position
from streams.sla.instants import format_rfc3339

router = APIRouter(
    route_class=ApiRoute, tags=["tenants"], dependencies=[requires(Permission.READ_TENANTS, scoped=True)]
)


class RevisionBody(BaseModel):
    """One revision of a statement."""

    revision: int
    status: str
    event_id: str
    evidence: EvidenceBody = Field(description="Where the statement stands in the topic `credits`.")
    statement: dict[str, Any] = Field(description="`data` of the event credit.statement, in the JSON form.")


class CreditBody(BaseModel):
    """A credit that was issued to billing."""

    event_id: str
    statement_revision: int
    amount: MoneyBody
    cause: str = Field(description="automatic, claimed or adjusted.")
    issued_at: InstantText
    evidence: EvidenceBody


class ClaimBody(BaseModel):
    """A claim of the month's credit."""

    event_id: str
    time: InstantText
    evidence: EvidenceBody


class MonthDetailBody(BaseModel):
    """A tenant's month: the highest revision is right."""

    tenant_id: str
    month: MonthText
    latest: RevisionBody
    revisions: list[RevisionBody] = Field(description="In order, the latest included; at most the last 200.")
    credits: list[CreditBody]
    claims: list[ClaimBody] = Field(description="Those that were rejected too.")


@router.get(
    "/tenants/{tenant_id:path}/months/{month}",
    response_model=MonthDetailBody,
    responses=described(400, 404),
    summary="Show a tenant's month",
)
def month_of_tenant(
    connection: ReadConnection, scope: Scope, tenant_id: Annotated[Id, Path()], month: Annotated[MonthText, Path()]
) -> Response:
    """The statement of a tenant's month, its revisions, and the credits and claims of the month."""
    seen = scope.sees(tenant_id)
    found = [_revision_body(each) for each in revisions(connection, tenant_id, month)] if seen else []
    if not found:
        raise not_found(f"there is no statement of {tenant_id!r} for {month}")
    return json_response(
        MonthDetailBody(
            tenant_id=tenant_id,
            month=month,
            latest=found[-1],
            revisions=found,
            credits=[
                CreditBody(
                    event_id=each.event_id,
                    statement_revision=each.revision,
                    amount=MoneyBody(amount_minor=each.amount_minor, currency=each.currency),
                    cause=each.cause,
                    issued_at=format_rfc3339(each.issued_at),
                    evidence=_evidence_body(each.position),
                )
                for each in issued_credits(connection, tenant_id, month)
            ],
            claims=[
                ClaimBody(
                    event_id=each.event_id,
                    time=format_rfc3339(each.occurred_at),
                    evidence=_evidence_body(each.position),
                )
                for each in claims(connection, tenant_id, month)
            ],
        )
    )


def _revision_body(detail: StatementDetail) -> RevisionBody:
    return RevisionBody(
        revision=detail.data["revision"],
        status=detail.data["status"],
        event_id=detail.event_id,
        evidence=_evidence_body(detail.position),
        statement=dict(detail.data),
    )


def _evidence_body(position: Position) -> EvidenceBody:
    return EvidenceBody(topic=position.topic, partition=position.partition, offset=position.offset)
