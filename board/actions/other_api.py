"""Actions of the API that are about months, tenants, contracts and rejected input, and results asked for later."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Body, Path, Request, Response
from pydantic import BaseModel, Field, create_model

from board.access.identity import CurrentPerson, sender_of
from board.access.requirement import requires
from board.actions.answers import ActedBody, WarningBody, answer_of, warning_bodies
from board.actions.api import RESPONSES, ActionRoute, Key, act
from board.actions.bodies import body_model
from board.actions.import_difference import ContractChangeBody, change_bodies, digest_of, must_be
from board.actions.inputs import InputBody, input_body, sent_by
from board.actions.runner import ActionAttempt
from board.api.problems import ApiError, ParameterProblem, described, not_found, wrong_parameters
from board.api.route import json_response
from board.api.types import Id, MonthText
from board.dependencies import BoardContext, Context
from board.queries.rejects import get_reject
from connect.actions.input_results import AGENT_OF
from connect.actions.permissions import Permission
from connect.actions.prepared import Prepared
from streams.errors import SlaError
from streams.sla.events import Position

router = APIRouter(route_class=ActionRoute, tags=["actions"])

_Offset = Annotated[int, Path(ge=0, le=2**63 - 1)]
_Partition = Annotated[int, Path(ge=0, le=2**31 - 1)]

_ClaimBody: Any = body_model("claim-credit", without=("month",))
_EraseBody: Any = body_model("erase-tenant")
_ImportBody: Any = create_model(
    "ImportContractsBody",
    __base__=body_model("import-contracts"),
    dry_run=(bool, Field(False, description="Only answer the difference; nothing is sent.")),
    digest=(str | None, Field(None, description="That of the difference that was seen; required without dry_run.")),
)
_RetryBody: Any = create_model(
    "RetryRejectedBody",
    __base__=body_model("retry-rejected"),
    corrected=(dict[str, Any] | None, Field(None, description="The event that is sent instead, in the JSON form.")),
)


class DifferenceBody(BaseModel):
    """What an import would change. `digest` names it when it is applied."""

    digest: str
    changes: list[ContractChangeBody]
    unchanged: int = Field(description="Lines whose terms are in force already.")
    not_in_file: int | None = Field(
        description="Tenants that the file does not name; their terms stay. null for people limited to tenants."
    )
    warnings: list[WarningBody] = Field([], description="Plans and currencies that nothing declares.")


@router.post(
    "/tenants/{tenant_id:path}/months/{month}/claim",
    response_model=ActedBody,
    responses=RESPONSES,
    dependencies=[requires(Permission.CLAIM_CREDIT, scoped=True)],
    summary="Claim a credit",
)
async def claim_credit(
    request: Request,
    context: Context,
    tenant_id: Annotated[Id, Path()],
    month: Annotated[MonthText, Path()],
    key: Key,
    body: Annotated[_ClaimBody | None, Body()] = None,
) -> Response:
    """Claims a tenant's credit of a month."""
    form = {"month": month, **({} if body is None else body.form())}
    return await act(request, context, ActionAttempt("claim-credit", tenant_id, form, key))


@router.post(
    "/tenants/{tenant_id:path}/erase",
    response_model=ActedBody,
    responses=RESPONSES,
    dependencies=[requires(Permission.ERASE_TENANT, scoped=True)],
    summary="Erase a tenant",
)
async def erase_tenant(
    request: Request, context: Context, tenant_id: Annotated[Id, Path()], key: Key, body: _EraseBody
) -> Response:
    """Removes a tenant's names and texts for good."""
    return await act(request, context, ActionAttempt("erase-tenant", tenant_id, body.form(), key))


@router.post(
    "/contracts/import",
    response_model=ActedBody | DifferenceBody,
    responses=RESPONSES,
    dependencies=[requires(Permission.IMPORT_CONTRACTS, scoped=True)],
    summary="Import contracts",
)
async def import_contracts(
    request: Request, context: Context, person: CurrentPerson, key: Key, body: _ImportBody
) -> Response:
    """With `dry_run`: what the terms of a file (CSV or JSON lines) change. Without: publishes that, when it is still
    the difference that `digest` names."""
    form = {"terms": body.terms}
    if body.dry_run:
        found = await context.actions.prepare(sender_of(request), ActionAttempt("import-contracts", "", form))
        if not isinstance(found, Prepared):
            return answer_of(found, context.kafka.topic_prefix)
        assert found.difference is not None
        return json_response(
            DifferenceBody(
                digest=digest_of(found.difference),
                changes=change_bodies(found.difference),
                unchanged=found.difference.unchanged,
                not_in_file=found.difference.not_in_file if person.tenants is None else None,
                warnings=warning_bodies(found.warnings),
            )
        )
    if body.digest is None:
        problem = ParameterProblem(parameter="digest", problem="is missing; a request with `dry_run` answers it")
        raise wrong_parameters([problem], HTTPStatus.UNPROCESSABLE_ENTITY)
    return await act(request, context, ActionAttempt("import-contracts", "", form, key, confirm=must_be(body.digest)))


@router.post(
    "/rejects/{partition}/{offset}/retry",
    response_model=ActedBody,
    responses=RESPONSES,
    dependencies=[requires(Permission.RETRY_REJECTED)],
    summary="Retry a rejected input",
)
async def retry_rejected(
    request: Request,
    context: Context,
    partition: _Partition,
    offset: _Offset,
    key: Key,
    body: Annotated[_RetryBody | None, Body()] = None,
) -> Response:
    """Sends a rejected record again, as it was or corrected."""
    subject = original_of(context, partition, offset)
    if subject is None:
        raise not_found(f"there is no reject at partition {partition}, offset {offset} whose original was in a topic")
    form = {} if body is None else body.form()
    if form.get("corrected") is not None:
        form["corrected"] = json.dumps(form["corrected"], ensure_ascii=False)
    return await act(request, context, ActionAttempt("retry-rejected", subject, form, key))


@router.get(
    "/inputs/{topic}/{partition}/{offset}",
    response_model=InputBody,
    responses=described(400, 401, 403, 404, 503),
    dependencies=[requires(Permission.READ_REJECTS, scoped=True)],
    summary="Ask what the workers made of an input",
)
def input_result(
    context: Context, person: CurrentPerson, topic: Annotated[Id, Path()], partition: _Partition, offset: _Offset
) -> Response:
    """Accepted, rejected and why, or not read yet; asked of Kafka. People limited to tenants ask for what they sent
    themselves."""
    if topic not in AGENT_OF:
        raise not_found(f"{topic!r} is no topic of inputs; allowed: {', '.join(AGENT_OF)}")
    place = Position(topic, partition, offset)
    if person.tenants is not None and not sent_by(context.engine, person, place):
        raise not_found(
            f"{person.id} has sent no input to {topic}, partition {partition}, offset {offset}, or the board has not "
            "read it yet; ask again"
        )
    try:
        return json_response(input_body(context.engine, context.kafka, place))
    except SlaError as error:
        raise ApiError(HTTPStatus.SERVICE_UNAVAILABLE, str(error)) from error


def original_of(context: BoardContext, partition: int, offset: int) -> str | None:
    """The coordinates of a reject's original, as the action names it; None for what never was in a topic."""
    with context.engine.connect() as connection:
        found = get_reject(connection, partition, offset)
    return None if found is None else found.row.original_place
