"""GET /api/v1/audit: the audit log, the latest first."""

from __future__ import annotations

from hashlib import blake2b
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from board.access.requirement import requires
from board.api.problems import ParameterProblem, described, wrong_parameters
from board.api.route import ApiRoute, json_response
from board.api.types import CursorText, Id, InstantText, PageSize, decode_cursor, encode_cursor, wrong_cursor
from board.dependencies import ReadConnection
from board.queries.audit import TYPES, AuditFilter, AuditKey, AuditRow, list_audit
from connect.actions.permissions import Permission
from streams.sla.instants import format_rfc3339, parse_rfc3339

router = APIRouter(route_class=ApiRoute, tags=["audit"], dependencies=[requires(Permission.READ_AUDIT)])

_Type = Literal[TYPES]  # type: ignore[valid-type]


class AuditEventBody(BaseModel):
    """An event of the audit log."""

    event_id: str
    type: str = Field(description="Its event type, such as audit.acted.")
    time: InstantText
    person: str | None = Field(description="Null where nobody is known; `erased` for people of an erased tenant.")
    roles: list[str]
    tenants: list[str] | None = Field(description="The tenants to which the person is limited; null: every tenant.")
    address: str = Field(description="Where the request came from.")
    way: str = Field(description="What vouched for the person: token, session, proxy or oidc.")
    action: str | None = Field(description="The action that was asked for.")
    permission: str | None = Field(description="audit.denied: what the person lacks.")
    about_kind: str | None = Field(description="Of what `about` is the id: incident, maintenance or tenant.")
    about: str | None = Field(description="What it was done to; without `about_kind` in words.")
    outcome: str = Field(description="What came of it, in one word.")
    reason: str | None = Field(description="Why, without what was entered.")
    proposal_id: str | None
    events: int = Field(description="How many events were published.")
    event_ids: list[str] = Field(description="Their ids, at most the first 1,000.")


class AuditListBody(BaseModel):
    """A page of the audit log, the latest first."""

    events: list[AuditEventBody]
    next_cursor: str | None


@router.get(
    "/audit",
    response_model=AuditListBody,
    responses=described(400, 401, 403),
    summary="List who signed in, and who did or was refused what",
)
def audit(
    connection: ReadConnection,
    person: Annotated[Id | None, Query(description="The person's id.")] = None,
    type: Annotated[_Type | None, Query(description="The event type.")] = None,
    tenant: Annotated[
        Id | None, Query(description="Of people limited to it, and what was done to it, its incidents and windows.")
    ] = None,
    since: Annotated[InstantText | None, Query(alias="from", description="From this instant on, RFC 3339.")] = None,
    until: Annotated[InstantText | None, Query(alias="to", description="Before this instant, RFC 3339.")] = None,
    limit: Annotated[PageSize, Query()] = 50,
    cursor: Annotated[CursorText | None, Query()] = None,
) -> Response:
    """The audit log, the latest first."""
    chosen = AuditFilter(person, type, tenant, _instant("from", since), _instant("to", until))
    about = blake2b(repr(chosen).encode(), digest_size=8).hexdigest()
    after = None
    if cursor is not None:
        given, occurred_at, event_id = decode_cursor(cursor, str, int, str)
        if given != about:
            raise wrong_cursor()
        after = AuditKey(occurred_at, event_id)
    page = list_audit(connection, chosen, after=after, limit=limit)
    following = None if page.after is None else encode_cursor(about, page.after.occurred_at, page.after.event_id)
    return json_response(AuditListBody(events=[_body(each) for each in page.events], next_cursor=following))


def _instant(parameter: str, text: str | None) -> int | None:
    try:
        return None if text is None else parse_rfc3339(text)
    except (ValueError, OverflowError) as error:
        raise wrong_parameters([ParameterProblem(parameter=parameter, problem=str(error))]) from error


def _body(row: AuditRow) -> AuditEventBody:
    data = row.data
    return AuditEventBody(
        event_id=row.event_id,
        type=row.type,
        time=format_rfc3339(row.occurred_at),
        person=row.person,
        roles=data.get("roles", []),
        tenants=data.get("tenants"),
        address=row.address,
        way=row.way,
        action=row.action,
        permission=data.get("what") if row.type == "audit.denied" else None,
        about_kind=row.about_kind,
        about=row.about,
        outcome=row.outcome,
        reason=data.get("reason"),
        proposal_id=data.get("proposal_id"),
        events=data.get("events", 0),
        event_ids=data.get("event_ids", []),
    )
