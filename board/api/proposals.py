"""Proposals: what takes two people (R17). POST answers 202: the audit log decides what stands, GET says it."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Path, Query, Request, Response
from sqlalchemy import Connection

from board.access.identity import CurrentPerson, sender_of
from board.access.requirement import requires
from board.actions.api import ActionRoute
from board.actions.runner import ActionAttempt
from board.api.problems import ApiError, ParameterProblem, described
from board.api.proposal_bodies import (
    DecideBody,
    ProposalBody,
    ProposalListBody,
    ProposeBody,
    WrittenBody,
    proposal_body,
)
from board.api.route import json_response
from board.api.types import CursorText, Id, PageSize, decode_cursor, encode_cursor
from board.background.jobs import TooManyJobs
from board.dependencies import Context, ReadConnection
from board.proposals.decisions import DecisionAttempt, Written
from board.proposals.listing import ProposalKey, list_proposals
from board.proposals.obstacles import ProposalRefused
from board.proposals.proposal import Decision, Proposal
from board.proposals.view import proposing, start_effect, view_of, visible_proposal
from connect.actions.outcome import Invalid, Moved, Unchanged
from connect.actions.permissions import Denied, Permission
from connect.actions.texts import problem_text

router = APIRouter(route_class=ActionRoute, tags=["proposals"])

_READ = [requires(Permission.READ_PROPOSALS, scoped=True)]
_PROPOSE = [requires(Permission.PROPOSE, scoped=True)]
_APPROVE = [requires(Permission.APPROVE, scoped=True)]
_ProposalId = Annotated[Id, Path()]


@router.post(
    "/incidents/{incident_id:path}/proposals",
    response_model=WrittenBody,
    status_code=202,
    responses=described(400, 401, 403, 404, 409, 413, 422, 503),
    dependencies=_PROPOSE,
    summary="Propose to annul or amend an incident, or to apply a policy",
)
def propose(request: Request, context: Context, incident_id: Annotated[Id, Path()], body: ProposeBody) -> Response:
    """Write the proposal to the audit log."""
    attempt = ActionAttempt(body.action, incident_id, body.form, body.action_id, body.revision)
    return _answer(proposing(context).propose(sender_of(request), attempt, now=context.time_source.now()))


@router.get(
    "/proposals",
    response_model=ProposalListBody,
    responses=described(400),
    dependencies=_READ,
    summary="List proposals",
)
def proposals(
    context: Context,
    connection: ReadConnection,
    person: CurrentPerson,
    limit: Annotated[PageSize, Query()] = 50,
    cursor: Annotated[CursorText | None, Query()] = None,
) -> Response:
    """Those that the person may see: first those that can be decided, the latest of each first."""
    after = None if cursor is None else ProposalKey(*decode_cursor(cursor, int, int, str))
    page = list_proposals(connection, person, context.time_source.now(), after=after, limit=limit)
    found = [proposal_body(view_of(context, connection, each)) for each in page.proposals]
    following = None if page.after is None else encode_cursor(*page.after)
    return json_response(ProposalListBody(proposals=found, next_cursor=following))


@router.get(
    "/proposals/{proposal_id}",
    response_model=ProposalBody,
    responses=described(400, 404),
    dependencies=_READ,
    summary="Show a proposal",
)
def proposal(context: Context, connection: ReadConnection, person: CurrentPerson, proposal_id: _ProposalId) -> Response:
    """A proposal with its latest effect and what became of it."""
    return json_response(proposal_body(view_of(context, connection, visible(connection, person, proposal_id))))


@router.post(
    "/proposals/{proposal_id}/effect",
    response_model=ProposalBody,
    status_code=202,
    responses=described(400, 401, 403, 404, 503),
    dependencies=_PROPOSE,
    summary="Compute the effect of a proposal",
)
def effect(context: Context, connection: ReadConnection, person: CurrentPerson, proposal_id: _ProposalId) -> Response:
    """Compute it in the background, by the incident's present revision."""
    found = visible(connection, person, proposal_id)
    try:
        start_effect(context, found)
    except TooManyJobs as error:
        raise ApiError(HTTPStatus.SERVICE_UNAVAILABLE, str(error)) from error
    answer = json_response(proposal_body(view_of(context, connection, found)))
    answer.status_code = HTTPStatus.ACCEPTED
    return answer


def _decision(word: str, decision: Decision, summary: str) -> None:
    @router.post(
        f"/proposals/{{proposal_id}}/{word}",
        response_model=WrittenBody,
        status_code=202,
        responses=described(400, 401, 403, 404, 409, 413, 422),
        dependencies=_APPROVE,
        summary=summary,
        name=f"{word}_proposal",
    )
    def decide(request: Request, context: Context, proposal_id: _ProposalId, body: DecideBody) -> Response:
        """Write the decision to the audit log, whose order decides."""
        attempt = DecisionAttempt(proposal_id, decision, body.reason, body.effect_revision)
        return _answer(proposing(context).decide(sender_of(request), attempt, now=context.time_source.now()))


_decision("approve", "approved", "Approve a proposal of another person")
_decision("decline", "declined", "Decline a proposal of another person")
_decision("withdraw", "withdrawn", "Withdraw an own proposal")


def visible(connection: Connection, person: CurrentPerson, proposal_id: str) -> Proposal:
    """A proposal that the person may see. Raises ApiError."""
    found = visible_proposal(connection, person, proposal_id)
    if found is None:
        raise ApiError(HTTPStatus.NOT_FOUND, f"there is no proposal {proposal_id!r}, or it is not recorded yet")
    return found


def _answer(outcome: Written | Denied | Invalid | Unchanged | Moved | ProposalRefused) -> Response:
    match outcome:
        case Written(proposal_id, event_id):
            answer = json_response(WrittenBody(proposal_id=proposal_id, event_id=event_id))
            answer.status_code = HTTPStatus.ACCEPTED
            answer.headers["Location"] = f"/api/v1/proposals/{quote(proposal_id, safe='')}"
            return answer
        case Denied(cause=cause, reason=reason):
            raise ApiError(HTTPStatus.UNAUTHORIZED if cause == "sign_in" else HTTPStatus.FORBIDDEN, reason)
        case Invalid(problems):
            found = [ParameterProblem(parameter=each.field, problem=problem_text(each)) for each in problems]
            unknown = any(each.code == "incident_unknown" and not each.field for each in problems)
            status = HTTPStatus.NOT_FOUND if unknown else HTTPStatus.UNPROCESSABLE_ENTITY
            detail = "; ".join(f"{each.parameter}: {each.problem}".removeprefix(": ") for each in found)
            raise ApiError(status, detail, found)
        case Unchanged(reason):
            raise ApiError(HTTPStatus.CONFLICT, problem_text(reason))
        case Moved():
            raise ApiError(
                HTTPStatus.CONFLICT,
                f"the incident has changed since revision {outcome.seen}; look at it again, and name revision "
                f"{outcome.present}",
            )
        case ProposalRefused(code, detail):
            raise ApiError(HTTPStatus.NOT_FOUND if code == "unknown" else HTTPStatus.CONFLICT, f"{code}: {detail}")
