"""Proposals: what takes two people (R17). POST answers 202: the audit log decides what stands, GET says it."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection

from board.access.identity import CurrentPerson
from board.access.requirement import requires
from board.actions.api import ActionRoute, sender
from board.api.problems import ApiError, ParameterProblem, described
from board.api.route import json_response
from board.api.types import Id, InstantText
from board.background.jobs import TooManyJobs
from board.dependencies import BoardContext, Context, ReadConnection
from board.proposals.decisions import ProposalRefused, Proposing, Written, state_of
from board.proposals.effect import EffectRequest, compute_effect, stored_effect
from board.proposals.proposal import Decided, Decision, Ignored, Proposal, Status
from board.proposals.publishing import published_event
from board.proposals.stored import get_proposal, list_proposals, sees
from connect.actions.outcome import Invalid, Moved, Unchanged
from connect.actions.permissions import Denied, Permission
from connect.actions.texts import problem_text
from streams.sla.instants import format_rfc3339

router = APIRouter(route_class=ActionRoute, tags=["proposals"])

_READ = [requires(Permission.READ_PROPOSALS, scoped=True)]
_PROPOSE = [requires(Permission.PROPOSE, scoped=True)]
_APPROVE = [requires(Permission.APPROVE, scoped=True)]
_ProposalId = Annotated[Id, Path()]


class ProposeBody(BaseModel):
    """What is proposed. `form` has the fields of the action, such as `reason`."""

    model_config = ConfigDict(extra="forbid")

    action: str = Field(description="annul, amend or apply-policy.", max_length=64)
    form: dict[str, str | bool | None] = Field(description="The action's fields; instants are RFC 3339.", max_length=16)
    revision: int = Field(ge=0, lt=2**53, description="The revision of the incident that the author saw.")
    action_id: Id = Field(description="Names this attempt: the same one again is the same proposal.")


class DecideBody(BaseModel):
    """Why."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field("", description="At most 4 KiB of UTF-8.")


class WrittenBody(BaseModel):
    """The event waits for the audit log. GET the proposal to see what stands."""

    proposal_id: str
    event_id: str


class DecidedBody(BaseModel):
    """A decision."""

    decision: Decision
    person: str | None
    at: InstantText
    reason: str
    revision: int | None = Field(description="approved: the incident's revision for which the effect was seen.")


class WithoutEffectBody(BaseModel):
    """A decision that came too late, or from the wrong person."""

    decision: DecidedBody
    why: Ignored


class EffectBody(BaseModel):
    """What the proposal would change, if it had been approved when it was computed."""

    revision: int = Field(description="The incident's revision that it was computed for.")
    current: bool = Field(description="Whether this is the incident's revision now; else it must be computed again.")
    computed_at: InstantText
    result: dict[str, Any]


class PublishedBody(BaseModel):
    """The event that an approval published."""

    topic: str
    partition: int
    offset: int
    code: str | None = Field(description="Why the workers rejected it; null where no reject is known.")
    message: str | None


class ProposalBody(BaseModel):
    """A proposal."""

    proposal_id: str
    action: str
    incident_id: str
    tenants: list[str] | None = Field(description="Whom the incident concerned; null: everybody.")
    form: dict[str, Any]
    proposer: str | None
    proposed_at: InstantText
    expires_at: InstantText
    revision: int
    status: Status
    decided: DecidedBody | None
    without_effect: list[WithoutEffectBody]
    effect: EffectBody | None
    computing: Literal["queued", "running", "failed"] | None
    failure: str | None = Field(description="Why the effect could not be computed.")
    published: PublishedBody | None


class ProposalListBody(BaseModel):
    """Proposals: those that wait first, then the latest; at most 500."""

    proposals: list[ProposalBody]


@router.post(
    "/incidents/{incident_id:path}/proposals",
    response_model=WrittenBody,
    status_code=202,
    responses=described(400, 401, 403, 404, 409, 413, 422, 503),
    dependencies=_PROPOSE,
    summary="Propose to annul or amend an incident, or to apply a policy",
)
def propose(
    request: Request, context: Context, person: CurrentPerson, incident_id: Annotated[Id, Path()], body: ProposeBody
) -> Response:
    """Write the proposal to the audit log."""
    outcome = proposing(context).propose(
        person,
        sender(request),
        body.action,
        incident_id,
        body.form,
        action_id=body.action_id,
        seen_revision=body.revision,
        now=context.time_source.now(),
    )
    return _answer(outcome)


@router.get(
    "/proposals",
    response_model=ProposalListBody,
    responses=described(400),
    dependencies=_READ,
    summary="List proposals",
)
def proposals(context: Context, connection: ReadConnection, person: CurrentPerson) -> Response:
    """Those that the person may see."""
    found = [proposal_body(context, connection, each) for each in list_proposals(connection, person)]
    return json_response(ProposalListBody(proposals=found))


@router.get(
    "/proposals/{proposal_id}",
    response_model=ProposalBody,
    responses=described(400, 404),
    dependencies=_READ,
    summary="Show a proposal",
)
def proposal(context: Context, connection: ReadConnection, person: CurrentPerson, proposal_id: _ProposalId) -> Response:
    """A proposal with its latest effect and what became of it."""
    return json_response(proposal_body(context, connection, visible(connection, person, proposal_id)))


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
    answer = json_response(proposal_body(context, connection, found))
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
    def decide(
        request: Request, context: Context, person: CurrentPerson, proposal_id: _ProposalId, body: DecideBody
    ) -> Response:
        """Write the decision to the audit log, whose order decides."""
        now = context.time_source.now()
        return _answer(proposing(context).decide(person, sender(request), proposal_id, decision, body.reason, now=now))


_decision("approve", "approved", "Approve a proposal of another person")
_decision("decline", "declined", "Decline a proposal of another person")
_decision("withdraw", "withdrawn", "Withdraw an own proposal")


def proposing(context: BoardContext) -> Proposing:
    """What proposes and decides on this board."""
    return Proposing(context.engine, context.kafka, context.policies, context.settings.proposals_expire)


def visible(connection: Connection, person: CurrentPerson, proposal_id: str) -> Proposal:
    """A proposal that the person may see. Raises ApiError."""
    found = get_proposal(connection, proposal_id)
    if found is None or not sees(person, found):
        raise ApiError(HTTPStatus.NOT_FOUND, f"there is no proposal {proposal_id!r}, or it is not recorded yet")
    return found


def start_effect(context: BoardContext, found: Proposal) -> None:
    """Compute the effect in the background. Raises TooManyJobs."""
    work = EffectRequest(
        context.engine.url.render_as_string(hide_password=False),
        context.policies,
        context.kafka.time_limits(),
        found,
        context.time_source.now(),
    )
    context.background.effects.submit(found.proposed.proposal_id, None, compute_effect, work)


def proposal_body(context: BoardContext, connection: Connection, found: Proposal) -> ProposalBody:
    """A proposal as the API shows it."""
    proposed = found.proposed
    stored = stored_effect(connection, proposed.proposal_id)
    state = state_of(connection, proposed.incident_id)
    job = context.background.effects.latest(proposed.proposal_id)
    place = published_event(connection, found) if found.decided is not None else None
    return ProposalBody(
        proposal_id=proposed.proposal_id,
        action=proposed.action,
        incident_id=proposed.incident_id,
        tenants=None if proposed.tenants is None else list(proposed.tenants),
        form=dict(proposed.form),
        proposer=proposed.who.id,
        proposed_at=format_rfc3339(proposed.at),
        expires_at=format_rfc3339(proposed.expires_at),
        revision=proposed.revision,
        status=found.status(context.time_source.now()),
        decided=None if found.decided is None else _decided(found.decided),
        without_effect=[WithoutEffectBody(decision=_decided(each), why=why) for each, why in found.without_effect],
        effect=None
        if stored is None
        else EffectBody(
            revision=stored.revision,
            current=state is not None and state["revision"] == stored.revision,
            computed_at=format_rfc3339(stored.computed_at),
            result=dict(stored.data),
        ),
        computing=job.status if job is not None and job.status in {"queued", "running", "failed"} else None,
        failure=None if job is None else job.error,
        published=None
        if place is None
        else PublishedBody(**place.position._asdict(), code=place.code, message=place.message),
    )


def _decided(decided: Decided) -> DecidedBody:
    return DecidedBody(
        decision=decided.decision,
        person=decided.who.id,
        at=format_rfc3339(decided.at),
        reason=decided.reason,
        revision=decided.revision,
    )


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
